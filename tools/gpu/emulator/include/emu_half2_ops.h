// A pair of 16-bit floats; included with EMU_T and EMU_T2 defined.

inline EMU_T2 __hadd2(EMU_T2 a, EMU_T2 b) { return {a.x + b.x, a.y + b.y}; }
inline EMU_T2 __hsub2(EMU_T2 a, EMU_T2 b) { return {a.x - b.x, a.y - b.y}; }
inline EMU_T2 __hmul2(EMU_T2 a, EMU_T2 b) { return {a.x * b.x, a.y * b.y}; }
inline EMU_T2 __h2div(EMU_T2 a, EMU_T2 b) { return {a.x / b.x, a.y / b.y}; }
inline EMU_T2 __hneg2(EMU_T2 a) { return {-a.x, -a.y}; }
inline EMU_T2 __habs2(EMU_T2 a) { return {__habs(a.x), __habs(a.y)}; }
inline EMU_T2 __hmax2(EMU_T2 a, EMU_T2 b) { return {__hmax(a.x, b.x), __hmax(a.y, b.y)}; }
inline EMU_T2 __hmin2(EMU_T2 a, EMU_T2 b) { return {__hmin(a.x, b.x), __hmin(a.y, b.y)}; }
inline EMU_T2 __hfma2(EMU_T2 a, EMU_T2 b, EMU_T2 c) { return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)}; }
inline EMU_T2 operator+(const EMU_T2 &a, const EMU_T2 &b) { return __hadd2(a, b); }
inline EMU_T2 operator-(const EMU_T2 &a, const EMU_T2 &b) { return __hsub2(a, b); }
inline EMU_T2 operator*(const EMU_T2 &a, const EMU_T2 &b) { return __hmul2(a, b); }
inline EMU_T2 operator/(const EMU_T2 &a, const EMU_T2 &b) { return __h2div(a, b); }
inline EMU_T2 &operator+=(EMU_T2 &a, const EMU_T2 &b) { return a = a + b; }
inline EMU_T2 &operator*=(EMU_T2 &a, const EMU_T2 &b) { return a = a * b; }
inline EMU_T2 h2exp(EMU_T2 a) { return {hexp(a.x), hexp(a.y)}; }
