// NVRTC: hands the source to the nvcc stand-in of the same toolkit.
#include "emu.h"
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

extern char **environ;

namespace {
enum { RTC_OK = 0, RTC_INVALID_INPUT = 3, RTC_INVALID_PROGRAM = 4, RTC_INVALID_OPTION = 5, RTC_COMPILATION = 6, RTC_INTERNAL = 11 };
struct Program { std::string source, name, log, ptx; };

void remove_folder(const std::string &path) {
    const std::string command = "rm -rf '" + path + "'";
    if (system(command.c_str()) != 0) perror("cuda emulator");
}
// Folders that hold objects in use, removed at the end of the process.
struct Kept {
    std::vector<std::string> paths;
    ~Kept() { for (auto &p : paths) remove_folder(p); }
} kept;

std::string nvcc() {
    Dl_info info;
    if (!dladdr(reinterpret_cast<void *>(&nvcc), &info)) return "nvcc";
    char *real = realpath(info.dli_fname, nullptr);
    std::string path = real ? real : info.dli_fname;
    free(real);
    for (int i = 0; i < 2; i++) path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    return path + "/bin/nvcc";
}

std::string read_all(const std::string &path) {
    std::string text;
    if (FILE *f = fopen(path.c_str(), "rb")) {
        char part[4096];
        for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;) text.append(part, n);
        fclose(f);
    }
    return text;
}
}  // namespace

API int nvrtcVersion(int *major, int *minor) { *major = 13; *minor = 0; return RTC_OK; }
API int nvrtcCreateProgram(Program **p, const char *source, const char *name, int headers, const char *const *, const char *const *) {
    if (!p || !source || headers) return RTC_INVALID_INPUT;
    *p = new Program{source, name && *name ? name : "default_program", "", ""};
    return RTC_OK;
}
API int nvrtcDestroyProgram(Program **p) {
    if (!p || !*p) return RTC_INVALID_PROGRAM;
    delete *p;
    return RTC_OK;
}
API int nvrtcCompileProgram(Program *p, int count, const char *const *options) {
    if (!p) return RTC_INVALID_PROGRAM;
    for (int i = 0; i < count; i++)
        if (options[i][0] != '-') {
            p->log = std::string("unknown option: ") + options[i];
            return RTC_INVALID_OPTION;
        }
    const char *base = getenv("TMPDIR");
    std::string folder = std::string(base && *base ? base : "/tmp") + "/cuda-emu-XXXXXX";
    if (!mkdtemp(folder.data())) return RTC_INTERNAL;
    const std::string source = folder + "/program.cu", out = folder + "/program.ptx", log = folder + "/program.log";
    FILE *f = fopen(source.c_str(), "wb");
    if (!f) return RTC_INTERNAL;
    fwrite(p->source.data(), 1, p->source.size(), f);
    fclose(f);
    const std::string tool = nvcc();
    std::vector<std::string> words = {tool, "--nvrtc", source, out, p->name};
    words.insert(words.end(), options, options + count);
    std::vector<char *> argv;
    for (auto &w : words) argv.push_back(w.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 2, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    pid_t child;
    const int failed = posix_spawn(&child, tool.c_str(), &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed) {
        p->log = tool + ": " + strerror(failed);
        remove_folder(folder);
        return RTC_INTERNAL;
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    p->log = read_all(log);
    p->ptx = read_all(out);
    // The object lies in the toolkit's cache, or here when that cannot be written.
    if (p->ptx.find(folder) == std::string::npos) {
        remove_folder(folder);
    } else {
        Guard guard(emu_mutex);
        kept.paths.push_back(folder);
    }
    return status == 0 && !p->ptx.empty() ? RTC_OK : RTC_COMPILATION;
}
API int nvrtcGetPTXSize(Program *p, size_t *n) { *n = p->ptx.size() + 1; return RTC_OK; }
API int nvrtcGetPTX(Program *p, char *out) { memcpy(out, p->ptx.c_str(), p->ptx.size() + 1); return RTC_OK; }
API int nvrtcGetProgramLogSize(Program *p, size_t *n) { *n = p->log.size() + 1; return RTC_OK; }
API int nvrtcGetProgramLog(Program *p, char *out) { memcpy(out, p->log.c_str(), p->log.size() + 1); return RTC_OK; }
API int nvrtcAddNameExpression(Program *, const char *) { return RTC_OK; }
API int nvrtcGetLoweredName(Program *, const char *name, const char **lowered) { *lowered = name; return RTC_OK; }
API const char *nvrtcGetErrorString(int code) {
    return code == RTC_OK ? "NVRTC_SUCCESS" : code == RTC_COMPILATION ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR";
}
