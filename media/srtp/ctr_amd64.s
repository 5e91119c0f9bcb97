#include "textflag.h"

// One round of AES on the eight blocks X0 to X7 with the round key at
// 16*n of the schedule in AX.
#define ROUND(n) \
	MOVUPS (16*n)(AX), X8 \
	AESENC X8, X0 \
	AESENC X8, X1 \
	AESENC X8, X2 \
	AESENC X8, X3 \
	AESENC X8, X4 \
	AESENC X8, X5 \
	AESENC X8, X6 \
	AESENC X8, X7

// The counter block hi, lo+n, first round key added, in register x. hi is the
// low half of X9 in the order of bytes of the wire; lo is in R8 as a number.
#define COUNTER(n, x) \
	LEAQ   n(R8), R9 \
	BSWAPQ R9 \
	MOVQ   R9, X10 \
	MOVAPS X9, x \
	PUNPCKLQDQ X10, x \
	PXOR   X11, x

#define STORE(n, x) \
	MOVUPS (16*n)(DI), X8 \
	PXOR   x, X8 \
	MOVUPS X8, (16*n)(DI)

// func xorBlocks(schedule *[11 * 16]byte, b *byte, groups int, hi, lo uint64)
TEXT ·xorBlocks(SB), NOSPLIT, $0-40
	MOVQ schedule+0(FP), AX
	MOVQ b+8(FP), DI
	MOVQ groups+16(FP), CX
	MOVQ hi+24(FP), BX
	MOVQ lo+32(FP), R8
	BSWAPQ BX
	MOVQ BX, X9
	MOVUPS (AX), X11

group:
	COUNTER(0, X0)
	COUNTER(1, X1)
	COUNTER(2, X2)
	COUNTER(3, X3)
	COUNTER(4, X4)
	COUNTER(5, X5)
	COUNTER(6, X6)
	COUNTER(7, X7)
	ROUND(1)
	ROUND(2)
	ROUND(3)
	ROUND(4)
	ROUND(5)
	ROUND(6)
	ROUND(7)
	ROUND(8)
	ROUND(9)
	MOVUPS (16*10)(AX), X8
	AESENCLAST X8, X0
	AESENCLAST X8, X1
	AESENCLAST X8, X2
	AESENCLAST X8, X3
	AESENCLAST X8, X4
	AESENCLAST X8, X5
	AESENCLAST X8, X6
	AESENCLAST X8, X7
	STORE(0, X0)
	STORE(1, X1)
	STORE(2, X2)
	STORE(3, X3)
	STORE(4, X4)
	STORE(5, X5)
	STORE(6, X6)
	STORE(7, X7)
	ADDQ $128, DI
	ADDQ $8, R8
	DECQ CX
	JNZ  group
	RET

// One step of the key schedule: the key in X0, with what AESKEYGENASSIST made
// of its last word, becomes the next one.
#define EXPAND(n, rcon) \
	AESKEYGENASSIST $rcon, X0, X1 \
	PSHUFD $0xff, X1, X1 \
	MOVAPS X0, X2 \
	PSLLDQ $4, X2 \
	PXOR   X2, X0 \
	PSLLDQ $4, X2 \
	PXOR   X2, X0 \
	PSLLDQ $4, X2 \
	PXOR   X2, X0 \
	PXOR   X1, X0 \
	MOVUPS X0, (16*n)(DI)

// func expand(schedule *[11 * 16]byte, key *byte)
TEXT ·expand(SB), NOSPLIT, $0-16
	MOVQ schedule+0(FP), DI
	MOVQ key+8(FP), SI
	MOVUPS (SI), X0
	MOVUPS X0, (DI)
	EXPAND(1, 0x01)
	EXPAND(2, 0x02)
	EXPAND(3, 0x04)
	EXPAND(4, 0x08)
	EXPAND(5, 0x10)
	EXPAND(6, 0x20)
	EXPAND(7, 0x40)
	EXPAND(8, 0x80)
	EXPAND(9, 0x1b)
	EXPAND(10, 0x36)
	RET
