/* stall - sleeps a millisecond at a time and, for each line on standard input, prints by how many
 * microseconds it was late at most since the last. Put before all else on a processor, it tells
 * when the machine stood still and not what is measured there. See ../README.md. */
#define _GNU_SOURCE
#include "util.h"
#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
    u64 worst = 0; struct pollfd p = { .fd = 0, .events = POLLIN }; char b[64];
    prctl(PR_SET_TIMERSLACK, 1000);
    for (;;) {
        u64 due = mono_ns() + MS; struct timespec ts = { due / SEC, due % SEC };
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
        u64 now = mono_ns(); if (now > due && now - due > worst) worst = now - due;
        if (poll(&p, 1, 0) <= 0) continue;
        if (read(0, b, sizeof b) <= 0) return 0;
        printf("%llu\n", (unsigned long long)worst / 1000); fflush(stdout); worst = 0;
    }
}
