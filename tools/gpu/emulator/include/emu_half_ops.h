// One 16-bit float type and its functions; included by cuda_fp16.h and
// cuda_bf16.h with EMU_T, EMU_RAW, EMU_FROM and EMU_TO defined.
// Each operation is computed in float and rounded once.

struct EMU_T {
    unsigned short __x;
    EMU_T() = default;
    constexpr EMU_T(const EMU_RAW &r) : __x(r.x) {}
    template <class T, class = std::enable_if_t<std::is_arithmetic_v<T>>> EMU_T(T v) {
        if constexpr (std::is_same_v<T, float>) __x = EMU_FROM(v);
        else __x = EMU_FROM(emu_odd(double(v)));
    }
    operator float() const { return EMU_TO(__x); }
    operator EMU_RAW() const { return {__x}; }
    explicit operator double() const { return double(EMU_TO(__x)); }
    explicit operator bool() const { return EMU_TO(__x) != 0.f; }
    explicit operator int() const { return emu_to_int<int>(EMU_TO(__x)); }
    explicit operator unsigned() const { return emu_to_int<unsigned>(EMU_TO(__x)); }
    explicit operator long() const { return emu_to_int<long>(EMU_TO(__x)); }
    explicit operator long long() const { return emu_to_int<long long>(EMU_TO(__x)); }
    explicit operator unsigned char() const { return emu_to_int<unsigned char>(EMU_TO(__x)); }
};

inline EMU_T operator+(const EMU_T &a, const EMU_T &b) { return EMU_T(float(a) + float(b)); }
inline EMU_T operator-(const EMU_T &a, const EMU_T &b) { return EMU_T(float(a) - float(b)); }
inline EMU_T operator*(const EMU_T &a, const EMU_T &b) { return EMU_T(float(a) * float(b)); }
inline EMU_T operator/(const EMU_T &a, const EMU_T &b) { return EMU_T(float(a) / float(b)); }
inline EMU_T operator-(const EMU_T &a) { return EMU_T(EMU_RAW{(unsigned short)(a.__x ^ 0x8000)}); }
inline EMU_T operator+(const EMU_T &a) { return a; }
inline EMU_T &operator+=(EMU_T &a, const EMU_T &b) { return a = a + b; }
inline EMU_T &operator-=(EMU_T &a, const EMU_T &b) { return a = a - b; }
inline EMU_T &operator*=(EMU_T &a, const EMU_T &b) { return a = a * b; }
inline EMU_T &operator/=(EMU_T &a, const EMU_T &b) { return a = a / b; }
inline EMU_T &operator++(EMU_T &a) { return a = a + EMU_T(1.f); }
inline EMU_T &operator--(EMU_T &a) { return a = a - EMU_T(1.f); }
inline bool operator==(const EMU_T &a, const EMU_T &b) { return float(a) == float(b); }
inline bool operator!=(const EMU_T &a, const EMU_T &b) { return float(a) != float(b); }
inline bool operator<(const EMU_T &a, const EMU_T &b) { return float(a) < float(b); }
inline bool operator>(const EMU_T &a, const EMU_T &b) { return float(a) > float(b); }
inline bool operator<=(const EMU_T &a, const EMU_T &b) { return float(a) <= float(b); }
inline bool operator>=(const EMU_T &a, const EMU_T &b) { return float(a) >= float(b); }

inline EMU_T __hadd(EMU_T a, EMU_T b) { return a + b; }
inline EMU_T __hsub(EMU_T a, EMU_T b) { return a - b; }
inline EMU_T __hmul(EMU_T a, EMU_T b) { return a * b; }
inline EMU_T __hdiv(EMU_T a, EMU_T b) { return a / b; }
inline EMU_T __hadd_rn(EMU_T a, EMU_T b) { return a + b; }
inline EMU_T __hmul_rn(EMU_T a, EMU_T b) { return a * b; }
inline EMU_T __hneg(EMU_T a) { return -a; }
inline EMU_T __habs(EMU_T a) { return EMU_T(EMU_RAW{(unsigned short)(a.__x & 0x7fff)}); }
// The product is exact in double, so the sum is rounded nearly once.
inline EMU_T __hfma(EMU_T a, EMU_T b, EMU_T c) { return EMU_T(double(float(a)) * double(float(b)) + double(float(c))); }
inline bool __hisnan(EMU_T a) { return std::isnan(float(a)); }
inline int __hisinf(EMU_T a) { return std::isinf(float(a)) ? (a.__x & 0x8000 ? -1 : 1) : 0; }
inline bool isnan(EMU_T a) { return std::isnan(float(a)); }
inline bool isinf(EMU_T a) { return std::isinf(float(a)); }
inline EMU_T __hmax(EMU_T a, EMU_T b) { return EMU_T(std::fmax(float(a), float(b))); }
inline EMU_T __hmin(EMU_T a, EMU_T b) { return EMU_T(std::fmin(float(a), float(b))); }
inline EMU_T __hmax_nan(EMU_T a, EMU_T b) { return __hisnan(a) ? a : __hisnan(b) ? b : __hmax(a, b); }
inline EMU_T __hmin_nan(EMU_T a, EMU_T b) { return __hisnan(a) ? a : __hisnan(b) ? b : __hmin(a, b); }
inline bool __heq(EMU_T a, EMU_T b) { return a == b; }
inline bool __hne(EMU_T a, EMU_T b) { return !__hisnan(a) && !__hisnan(b) && a != b; }
inline bool __hlt(EMU_T a, EMU_T b) { return a < b; }
inline bool __hle(EMU_T a, EMU_T b) { return a <= b; }
inline bool __hgt(EMU_T a, EMU_T b) { return a > b; }
inline bool __hge(EMU_T a, EMU_T b) { return a >= b; }
inline EMU_T hsqrt(EMU_T a) { return EMU_T(sqrtf(float(a))); }
inline EMU_T hrsqrt(EMU_T a) { return EMU_T(rsqrtf(float(a))); }
inline EMU_T hrcp(EMU_T a) { return EMU_T(1.f / float(a)); }
inline EMU_T hexp(EMU_T a) { return EMU_T(expf(float(a))); }
inline EMU_T hexp2(EMU_T a) { return EMU_T(exp2f(float(a))); }
inline EMU_T hlog(EMU_T a) { return EMU_T(logf(float(a))); }
inline EMU_T hlog2(EMU_T a) { return EMU_T(log2f(float(a))); }
inline EMU_T hlog10(EMU_T a) { return EMU_T(log10f(float(a))); }
inline EMU_T hsin(EMU_T a) { return EMU_T(sinf(float(a))); }
inline EMU_T hcos(EMU_T a) { return EMU_T(cosf(float(a))); }
inline EMU_T htanh(EMU_T a) { return EMU_T(tanhf(float(a))); }
inline EMU_T hceil(EMU_T a) { return EMU_T(ceilf(float(a))); }
inline EMU_T hfloor(EMU_T a) { return EMU_T(floorf(float(a))); }
inline EMU_T hrint(EMU_T a) { return EMU_T(nearbyintf(float(a))); }
inline EMU_T htrunc(EMU_T a) { return EMU_T(truncf(float(a))); }
