#include "textflag.h"

// Four rounds of SHA-1 with the message words m0, and the schedule of the
// words that come after: m1 is ready for the next four rounds, m2 and m3 are
// on their way. ea holds the state of four rounds ago, eb takes this one. The
// state is X0, A in the high word; k chooses the function of the rounds.
#define ROUNDS(k, ea, eb, m0, m1, m2, m3) \
	SHA1NEXTE m0, ea \
	MOVO      X0, eb \
	SHA1MSG2  m0, m1 \
	SHA1RNDS4 k, ea, X0 \
	SHA1MSG1  m0, m3 \
	PXOR      m0, m2

// The first 16 words need no schedule.
#define LOAD(n, m) \
	MOVOU  (16*n)(DI), m \
	PSHUFB X7, m

// func hashBlocks(state *[5]uint32, p *byte, n int)
TEXT ·hashBlocks(SB), NOSPLIT, $0-24
	MOVQ state+0(FP), SI
	MOVQ p+8(FP), DI
	MOVQ n+16(FP), CX
	MOVOU swap<>(SB), X7
	MOVOU (SI), X0
	PSHUFD $0x1b, X0, X0
	PXOR   X1, X1
	PINSRD $3, 16(SI), X1

block:
	MOVO X0, X8
	MOVO X1, X9

	LOAD(0, X3)
	PADDD     X3, X1
	MOVO      X0, X2
	SHA1RNDS4 $0, X1, X0

	LOAD(1, X4)
	SHA1NEXTE X4, X2
	MOVO      X0, X1
	SHA1RNDS4 $0, X2, X0
	SHA1MSG1  X4, X3

	LOAD(2, X5)
	SHA1NEXTE X5, X1
	MOVO      X0, X2
	SHA1RNDS4 $0, X1, X0
	SHA1MSG1  X5, X4
	PXOR      X5, X3

	LOAD(3, X6)
	ROUNDS($0, X2, X1, X6, X3, X4, X5)

	ROUNDS($0, X1, X2, X3, X4, X5, X6)
	ROUNDS($1, X2, X1, X4, X5, X6, X3)
	ROUNDS($1, X1, X2, X5, X6, X3, X4)
	ROUNDS($1, X2, X1, X6, X3, X4, X5)
	ROUNDS($1, X1, X2, X3, X4, X5, X6)
	ROUNDS($1, X2, X1, X4, X5, X6, X3)
	ROUNDS($2, X1, X2, X5, X6, X3, X4)
	ROUNDS($2, X2, X1, X6, X3, X4, X5)
	ROUNDS($2, X1, X2, X3, X4, X5, X6)
	ROUNDS($2, X2, X1, X4, X5, X6, X3)
	ROUNDS($2, X1, X2, X5, X6, X3, X4)
	ROUNDS($3, X2, X1, X6, X3, X4, X5)
	ROUNDS($3, X1, X2, X3, X4, X5, X6)
	ROUNDS($3, X2, X1, X4, X5, X6, X3)
	ROUNDS($3, X1, X2, X5, X6, X3, X4)
	ROUNDS($3, X2, X1, X6, X3, X4, X5)

	SHA1NEXTE X9, X1
	PADDD     X8, X0
	ADDQ $64, DI
	DECQ CX
	JNZ  block

	PSHUFD $0x1b, X0, X0
	MOVOU  X0, (SI)
	PEXTRD $3, X1, 16(SI)
	RET

// func hasSHA() bool
TEXT ·hasSHA(SB), NOSPLIT, $0-1
	MOVB $0, ret+0(FP)
	XORL AX, AX
	CPUID
	CMPL AX, $7
	JLT  none
	MOVL $7, AX
	XORL CX, CX
	CPUID
	SHRL $29, BX
	ANDL $1, BX
	MOVB BX, ret+0(FP)

none:
	RET

// The bytes of a message are big-endian, the words of the state go downwards.
DATA swap<>+0(SB)/8, $0x08090a0b0c0d0e0f
DATA swap<>+8(SB)/8, $0x0001020304050607
GLOBL swap<>(SB), RODATA|NOPTR, $16
