// The least that a relay can do, as a measure for the media plane's own loop:
// pairs of UDP sockets, one epoll, recvfrom, sendto, and no look at a packet.
// Arguments: number of pairs, destination ports for the two directions. It
// prints the pairs' ports and relays until it is killed.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static int port_of(int fd) {
	struct sockaddr_in a;
	socklen_t n = sizeof a;
	getsockname(fd, (struct sockaddr *)&a, &n);
	return ntohs(a.sin_port);
}

int main(int argc, char **argv) {
	if (argc != 4) return 2;
	int pairs = atoi(argv[1]);
	struct sockaddr_in to[2] = {{0}, {0}}, any = {0};
	any.sin_family = AF_INET;
	any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 0; i < 2; i++) {
		to[i] = any;
		to[i].sin_port = htons(atoi(argv[2 + i]));
	}
	int *fd = calloc(2 * pairs, sizeof *fd), ep = epoll_create1(0);
	for (int i = 0; i < 2 * pairs; i++) {
		fd[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		if (bind(fd[i], (struct sockaddr *)&any, sizeof any)) return 1;
		struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
		epoll_ctl(ep, EPOLL_CTL_ADD, fd[i], &e);
		printf("%d\n", port_of(fd[i]));
	}
	fflush(stdout);
	for (;;) {
		struct epoll_event ev[256];
		int n = epoll_wait(ep, ev, 256, -1);
		for (int i = 0; i < n; i++) {
			char buf[1536];
			struct sockaddr_in from;
			socklen_t size = sizeof from;
			unsigned in = ev[i].data.u32, out = in ^ 1;
			ssize_t got = recvfrom(fd[in], buf, sizeof buf, 0, (struct sockaddr *)&from, &size);
			if (got >= 0) sendto(fd[out], buf, got, 0, (struct sockaddr *)&to[out & 1], sizeof to[0]);
		}
	}
}
