// Nothing beyond the kernel language.
#pragma once
#include "emu_kernel.h"
