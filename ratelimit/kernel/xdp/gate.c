/*
 * The gate in front of the gate: run by the network driver, or as early as the
 * kernel can, for every packet that comes in by one interface. It judges only
 * what is for the gateway's SIP ports and passes everything else, everything
 * that it cannot read, and everything from addresses that are known. So a
 * mistake here lets the user-space gate do its work and shuts nobody out.
 *
 * Order: port, known, banned, is it SIP at all, budget of the source. Budgets
 * are in force while the gateway says so (struct settings).
 *
 * Fragments that carry no ports are passed: without the first fragment, which
 * has them and is judged, nothing is ever put together.
 *
 * All addresses are 16 bytes, IPv4 mapped into IPv6. No header of anybody is
 * included; what is declared here is the kernel's stable interface.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))

/* enum bpf_map_type, and map flags */
enum { HASH = 1, ARRAY = 2, PERCPU_ARRAY = 6, LRU_HASH = 9, LPM_TRIE = 11 };
enum { NO_PREALLOC = 1 };
/* enum xdp_action */
enum { DROP = 1, PASS = 2 };

struct xdp_md {
	u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static long (*const map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static u64 (*const ktime)(void) = (void *)5;

#define UINT(name, val) int (*name)[val]
#define TYPE(name, val) typeof(val) *name

struct addr {
	u32 w[4];
};
struct network { /* the key of a trie */
	u32 bits;
	struct addr addr;
};
struct port { /* in network order */
	u8 proto, zero;
	u16 number;
};
struct source {
	struct addr addr;
	u32 proto;
};
struct settings {
	u64 every[2]; /* ns that one packet, one connection uses up; 0: no budget */
	u64 burst[2]; /* ns that may be used up in advance */
	u64 whole;    /* all of the known are in the maps; else nothing is dropped */
};

struct {
	UINT(type, ARRAY);
	UINT(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, struct settings);
} settings SEC(".maps");
struct {
	UINT(type, HASH);
	UINT(max_entries, 256);
	TYPE(key, struct port);
	TYPE(value, u8);
} ports SEC(".maps");
struct {
	UINT(type, HASH);
	UINT(max_entries, 1024);
	TYPE(key, struct addr);
	TYPE(value, u8);
} here SEC(".maps");
struct {
	UINT(type, HASH);
	UINT(max_entries, 131072);
	UINT(map_flags, NO_PREALLOC);
	TYPE(key, struct addr);
	TYPE(value, u8); /* by what it is known */
} known SEC(".maps");
struct {
	UINT(type, LPM_TRIE);
	UINT(max_entries, 4096);
	UINT(map_flags, NO_PREALLOC);
	TYPE(key, struct network);
	TYPE(value, u8);
} peers SEC(".maps");
struct {
	UINT(type, LPM_TRIE);
	UINT(max_entries, 131072);
	UINT(map_flags, NO_PREALLOC);
	TYPE(key, struct network);
	TYPE(value, u64); /* until, by the monotonic clock */
} banned SEC(".maps");
struct {
	UINT(type, LRU_HASH);
	UINT(max_entries, 65536);
	TYPE(key, struct source);
	TYPE(value, u64); /* when the budget is whole again */
} budgets SEC(".maps");

enum { KNOWN, BANNED, NOT_SIP, RATE, CONNECTIONS, CAUSES };
struct {
	UINT(type, PERCPU_ARRAY);
	UINT(max_entries, CAUSES);
	TYPE(key, u32);
	TYPE(value, u64);
} counts SEC(".maps");

enum { TCP = 6, UDP = 17 };
enum { BY_UDP = 1, BY_TCP = 2 }; /* bits of the values of known and peers */
#define BE16(x) ((u16)__builtin_bswap16(x))

INLINE int verdict(u32 cause)
{
	u64 *n = map_lookup(&counts, &cause);
	if (n)
		*n += 1;
	return cause == KNOWN ? PASS : DROP;
}

/*
 * over takes one unit from the budget of a source. The value is the time at
 * which the budget is whole again; compare-and-swap makes it exact without a
 * lock, and whoever loses the race twice is let through.
 */
INLINE int over(struct source *s, u64 every, u64 burst)
{
	u64 now = ktime();
	u64 *at = map_lookup(&budgets, s);
	if (!at) {
		u64 first = now + every;
		map_update(&budgets, s, &first, 0);
		return 0;
	}
#pragma unroll
	for (int i = 0; i < 2; i++) {
		u64 was = *at, next = (was > now ? was : now) + every;
		if (next > now + burst)
			return 1;
		if (__sync_val_compare_and_swap(at, was, next) == was)
			return 0;
	}
	return 0;
}

INLINE int judge(struct addr *from, struct addr *to, u8 proto, u8 *l4, u8 *end)
{
	u32 zero = 0;
	struct settings *set = map_lookup(&settings, &zero);
	if (!set || l4 + 8 > end)
		return PASS;
	struct port p = {.proto = proto, .number = *(u16 *)(l4 + 2)};
	if (!map_lookup(&ports, &p))
		return PASS;
	if (!map_lookup(&here, to)) /* only passing through */
		return PASS;

	if (!set->whole)
		return PASS;

	u8 by = proto == UDP ? BY_UDP : BY_TCP, *k = map_lookup(&known, from);
	if (k && *k & by)
		return verdict(KNOWN);
	struct network n = {.bits = 128, .addr = *from};
	k = map_lookup(&peers, &n);
	if (k && *k & by)
		return verdict(KNOWN);
	u64 *until = map_lookup(&banned, &n);
	if (until && ktime() < *until)
		return verdict(BANNED);

	struct source s = {.addr = *from, .proto = proto};
	if (from->w[0] || from->w[1] || from->w[2] != 0xffff0000) /* IPv6 is counted per /64 */
		s.addr.w[2] = s.addr.w[3] = 0;
	if (proto == UDP) {
		/* a method or "SIP/2.0" begins every message; empty lines, STUN and
		   the rest are keep-alives of phones, and those are known */
		if (l4 + 9 > end || (u8)((l4[8] | 0x20) - 'a') > 'z' - 'a')
			return verdict(NOT_SIP);
		if (set->every[0] && over(&s, set->every[0], set->burst[0]))
			return verdict(RATE);
		return PASS;
	}
	if (l4 + 14 > end || (l4[13] & 0x12) != 0x02) /* SYN without ACK */
		return PASS;
	if (set->every[1] && over(&s, set->every[1], set->burst[1]))
		return verdict(CONNECTIONS);
	return PASS;
}

INLINE int ipv4(u8 *ip, u8 *end)
{
	if (ip + 20 > end)
		return PASS;
	u32 size = (ip[0] & 15) * 4;
	if (ip[0] >> 4 != 4 || size < 20 || *(u16 *)(ip + 6) & BE16(0x1fff))
		return PASS;
	if (ip[9] != UDP && ip[9] != TCP)
		return PASS;
	struct addr from = {{0, 0, 0xffff0000, *(u32 *)(ip + 12)}};
	struct addr to = {{0, 0, 0xffff0000, *(u32 *)(ip + 16)}};
	return judge(&from, &to, ip[9], ip + size, end);
}

INLINE int ipv6(u8 *ip, u8 *end)
{
	if (ip + 40 > end || ip[0] >> 4 != 6)
		return PASS;
	struct addr from = *(struct addr *)(ip + 8), to = *(struct addr *)(ip + 24);
	u8 next = ip[6], *l4 = ip + 40;
#pragma unroll
	for (int i = 0; i < 6; i++) { /* a longer row of extension headers is passed */
		if (next == UDP || next == TCP)
			return judge(&from, &to, next, l4, end);
		if (l4 + 8 > end)
			return PASS;
		u32 size = (l4[1] + 1) * 8;
		if (next == 44) { /* fragment */
			if (*(u16 *)(l4 + 2) & BE16(0xfff8))
				return PASS;
			size = 8;
		} else if (next != 0 && next != 43 && next != 60) { /* hop by hop, routing, destination */
			return PASS;
		}
		next = l4[0];
		l4 += size;
	}
	return PASS;
}

SEC("xdp")
int gate(struct xdp_md *ctx)
{
	u8 *eth = (u8 *)(unsigned long)ctx->data, *end = (u8 *)(unsigned long)ctx->data_end;
	if (eth + 18 > end)
		return PASS;
	u16 type = *(u16 *)(eth + 12);
	u8 *ip = eth + 14;
	if (type == BE16(0x8100) || type == BE16(0x88a8)) {
		type = *(u16 *)(eth + 16);
		ip = eth + 18;
	}
	if (type == BE16(0x0800))
		return ipv4(ip, end);
	if (type == BE16(0x86dd))
		return ipv6(ip, end);
	return PASS;
}

char terms[] SEC("license") = "Apache-2.0";
