package kernel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Table is a table of nftables.
//
//	prerouting, before connection tracking:
//	    to a SIP port ────────────────── judge
//	judge:
//	    not to an address of ours ────── return
//	    known4, known6, peers4, peers6 ─ return
//	    TCP of connected4 … trunks6 ──── return
//	    ban4, ban4_24, ban6_64, ban6_48  drop
//	    emergency
//	emergency: empty, or
//	    datagram, SYN over the budget ── drop
//
// It is made with the owner flag: nobody else can change it, and the kernel
// removes it together with our socket, whatever becomes of the process.
type Table struct {
	conn   *nftables.Conn
	raw    *netlink.Conn // of conn
	table  *nftables.Table
	chain  *nftables.Chain // emergency
	budget Budget
	sets   map[string]*nftables.Set
	has    map[string]map[element]time.Time
	begun  bool // emergency is in force
	broken bool // the last Sync failed: begin anew
}

// element is an entry of a set; end is the first address behind a range.
type element struct{ addr, end netip.Addr }

// OpenTable makes the table. name is that of the table; where somebody else has
// one of that name, the process's id is put behind it.
func OpenTable(name string, ports []Port, b Budget) (*Table, error) {
	t := &Table{budget: b, sets: map[string]*nftables.Set{}, has: map[string]map[element]time.Time{}}
	var err error
	t.conn, err = nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		t.raw = c
		// Many acknowledgements come at once. Without the privilege the usual size holds.
		c.SetReadBuffer(4 << 20)
		c.SetWriteBuffer(4 << 20)
		return nil
	}))
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	// Somebody else may take the name that was free.
	for err = error(unix.EEXIST); errors.Is(err, unix.EEXIST); {
		var free string
		if free, err = t.free(name); err == nil {
			err = t.create(free)
		}
	}
	if err == nil {
		err = t.rules(ports)
	}
	if err != nil {
		t.conn.CloseLasting()
		return nil, fmt.Errorf("nftables: %w", told(err, false))
	}
	return t, nil
}

// free is the name of a table that there is not: the one given, else with the
// process's id, else with a number too (several gateways in one process).
func (t *Table) free(name string) (string, error) {
	all, err := t.conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return "", fmt.Errorf("tables: %w", err)
	}
	taken := map[string]bool{}
	for _, x := range all {
		taken[x.Name] = true
	}
	if !taken[name] {
		return name, nil
	}
	name = fmt.Sprintf("%s-%d", name, os.Getpid())
	for free, n := name, 2; ; n++ {
		if !taken[free] {
			return free, nil
		}
		free = fmt.Sprintf("%s-%d", name, n)
	}
}

// denied: the kernel refused for want of privileges.
func denied(err error) bool { return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) }

const ownerFlag = 0x2 // NFT_TABLE_F_OWNER, since Linux 5.12

// create makes the empty table. The library writes no flags of tables, so this
// one message is written here, on the socket that the library goes on with:
// the kernel ties the table to it.
func (t *Table) create(name string) error {
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_TABLE_NAME, Data: append([]byte(name), 0)},
		{Type: unix.NFTA_TABLE_FLAGS, Data: []byte{0, 0, 0, ownerFlag}},
	})
	if err != nil {
		return err
	}
	message := func(kind int, flags netlink.HeaderFlags, family byte, res uint16, data []byte) netlink.Message {
		return netlink.Message{Header: netlink.Header{Type: netlink.HeaderType(kind), Flags: netlink.Request | flags},
			Data: append([]byte{family, unix.NFNETLINK_V0, byte(res >> 8), byte(res)}, data...)}
	}
	const nft = unix.NFNL_SUBSYS_NFTABLES
	if _, err := t.raw.SendMessages([]netlink.Message{
		message(unix.NFNL_MSG_BATCH_BEGIN, 0, 0, nft, nil),
		message(nft<<8|unix.NFT_MSG_NEWTABLE, netlink.Acknowledge|netlink.Create|netlink.Excl, unix.NFPROTO_INET, 0, attrs),
		message(unix.NFNL_MSG_BATCH_END, 0, 0, nft, nil),
	}); err != nil {
		return fmt.Errorf("table %s: %w", name, err)
	}
	if _, err := t.raw.Receive(); err != nil {
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("table %s: this kernel has no tables that belong to a process (Linux 5.12): %w", name, err)
		}
		return fmt.Errorf("table %s: %w", name, err)
	}
	t.table = &nftables.Table{Name: name, Family: nftables.TableFamilyINet}
	return nil
}

// Name implements Engine.
func (t *Table) Name() string { return "nftables" }

// Describe names the table for people.
func (t *Table) Describe() string { return "inet " + t.table.Name }

// Close implements Engine. The table goes with the socket.
func (t *Table) Close() error { return t.conn.CloseLasting() }

// names of the counters by cause.
var tableCounters = []string{Banned, Rate, Connections}

// Stats implements Engine, on a socket of its own: anybody may read.
func (t *Table) Stats() (out []Count, err error) {
	c, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("nftables: counters: %w", err)
	}
	objs, err := c.GetObjects(t.table)
	if err != nil {
		return nil, fmt.Errorf("nftables: counters: %w", err)
	}
	for _, o := range objs {
		if n, ok := o.(*nftables.CounterObj); ok {
			out = append(out, Count{n.Name, n.Packets})
		}
	}
	return out, nil
}

// knowns are the sets of those who are known, and of those who are known by
// their connections alone.
var knowns = []struct {
	addrs, networks string
	tcp             bool
}{{"known", "peers", false}, {"connected", "trunks", true}}

// wide are the sets of bans: one for each length that a ban can have, so that
// all are plain hash tables.
var wide = []struct {
	name string
	v6   bool
	bits int
}{{"ban4", false, 32}, {"ban4_24", false, 24}, {"ban6_64", true, 64}, {"ban6_48", true, 48}, {"ban6", true, 128}}

// rules makes the sets, chains and rules.
func (t *Table) rules(ports []Port) error {
	set := func(s nftables.Set, elements ...nftables.SetElement) {
		s.Table, t.sets[s.Name] = t.table, &s
		t.conn.AddSet(&s, elements)
	}
	for _, v6 := range []bool{false, true} {
		kind, n := nftables.TypeIPAddr, "4"
		if v6 {
			kind, n = nftables.TypeIP6Addr, "6"
		}
		for _, k := range knowns {
			set(nftables.Set{Name: k.addrs + n, KeyType: kind, Size: MaxKnown})
			set(nftables.Set{Name: k.networks + n, KeyType: kind, Interval: true})
		}
		set(nftables.Set{Name: "rate" + n, KeyType: kind, Dynamic: true, HasTimeout: true, Timeout: time.Minute, Size: MaxSources})
		set(nftables.Set{Name: "conns" + n, KeyType: kind, Dynamic: true, HasTimeout: true, Timeout: time.Minute, Size: MaxSources})
	}
	for _, w := range wide {
		kind := nftables.TypeIPAddr
		if w.v6 {
			kind = nftables.TypeIP6Addr
		}
		set(nftables.Set{Name: w.name, KeyType: kind, HasTimeout: true, Size: MaxBans})
	}
	for _, c := range tableCounters {
		t.conn.AddObject(&nftables.CounterObj{Table: t.table, Name: c})
	}
	policy := nftables.ChainPolicyAccept
	base := t.conn.AddChain(&nftables.Chain{Name: "prerouting", Table: t.table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRef(*nftables.ChainPriorityRaw - 10), Policy: &policy})
	t.chain = t.conn.AddChain(&nftables.Chain{Name: "emergency", Table: t.table})
	judge := t.conn.AddChain(&nftables.Chain{Name: "judge", Table: t.table})
	rule := func(c *nftables.Chain, e ...expr.Any) {
		t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: c, Exprs: e})
	}
	for p, l4 := range map[string]byte{"udp": unix.IPPROTO_UDP, "tcp": unix.IPPROTO_TCP} {
		var es []nftables.SetElement
		seen := map[uint16]bool{}
		for _, q := range ports {
			if n := q.Addr.Port(); q.udp() == (p == "udp") && !seen[n] {
				seen[n] = true
				es = append(es, nftables.SetElement{Key: []byte{byte(n >> 8), byte(n)}})
			}
		}
		if len(es) == 0 {
			continue
		}
		set(nftables.Set{Name: p + "_ports", KeyType: nftables.TypeInetService}, es...)
		rule(base, join(protocol(l4), []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
			&expr.Lookup{SourceRegister: 1, SetName: p + "_ports"}, &expr.Verdict{Kind: expr.VerdictJump, Chain: "judge"}})...)
	}
	t.forUs(ports, set, func(e ...expr.Any) { rule(judge, e...) })
	for _, k := range knowns {
		for _, s := range []string{k.addrs + "4", k.networks + "4", k.addrs + "6", k.networks + "6"} {
			of := source(s[len(s)-1] == '6', 128)
			if k.tcp {
				of = join(protocol(unix.IPPROTO_TCP), of)
			}
			rule(judge, join(of, []expr.Any{&expr.Lookup{SourceRegister: 1, SetName: s}, &expr.Verdict{Kind: expr.VerdictReturn}})...)
		}
	}
	for _, w := range wide {
		rule(judge, join(source(w.v6, w.bits), []expr.Any{&expr.Lookup{SourceRegister: 1, SetName: w.name}}, drop(Banned))...)
	}
	rule(judge, &expr.Verdict{Kind: expr.VerdictJump, Chain: "emergency"})
	return t.conn.Flush()
}

// forUs returns from a chain with packets that are not for an address that the
// gateway listens on: with one that it listens on all of, for none of this host.
// Another gateway may have the same ports on other addresses.
func (t *Table) forUs(ports []Port, set func(nftables.Set, ...nftables.SetElement), rule func(...expr.Any)) {
	if slices.ContainsFunc(ports, func(p Port) bool { return p.Addr.Addr().IsUnspecified() }) {
		rule(&expr.Fib{Register: 1, ResultADDRTYPE: true, FlagDADDR: true},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: native(unix.RTN_LOCAL)}, &expr.Verdict{Kind: expr.VerdictReturn})
		return
	}
	for _, v6 := range []bool{false, true} {
		kind, name, offset := nftables.TypeIPAddr, "here4", uint32(16)
		if v6 {
			kind, name, offset = nftables.TypeIP6Addr, "here6", 24
		}
		seen := map[netip.Addr]bool{}
		var es []nftables.SetElement
		for _, p := range ports {
			if a := p.Addr.Addr().Unmap().WithZone(""); a.Is6() == v6 && !seen[a] {
				seen[a] = true
				es = append(es, nftables.SetElement{Key: a.AsSlice()})
			}
		}
		set(nftables.Set{Name: name, KeyType: kind}, es...)
		rule(join(address(v6, offset), []expr.Any{&expr.Lookup{SourceRegister: 1, SetName: name, Invert: true}, &expr.Verdict{Kind: expr.VerdictReturn}})...)
	}
}

// emergency puts the budgets of strangers in force, or takes them out.
func (t *Table) emergency(on bool) {
	t.conn.FlushChain(t.chain)
	if !on {
		return
	}
	for _, v6 := range []bool{false, true} {
		n, bits := "4", 32
		if v6 {
			n, bits = "6", 64
		}
		over := func(set string, rate int) expr.Any {
			return &expr.Dynset{SrcRegKey: 1, SetName: set, Operation: uint32(unix.NFT_DYNSET_OP_UPDATE), Timeout: time.Minute,
				Exprs: []expr.Any{&expr.Limit{Type: expr.LimitTypePkts, Rate: uint64(rate), Over: true, Unit: expr.LimitTimeSecond, Burst: uint32(rate * burst)}}}
		}
		t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: t.chain, Exprs: join(protocol(unix.IPPROTO_UDP), source(v6, bits),
			[]expr.Any{over("rate"+n, t.budget.Packets)}, drop(Rate))})
		t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: t.chain, Exprs: join(protocol(unix.IPPROTO_TCP), opening(), source(v6, bits),
			[]expr.Any{over("conns"+n, t.budget.Connections)}, drop(Connections))})
	}
}

func join(parts ...[]expr.Any) (out []expr.Any) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func native(n uint32) []byte {
	b := make([]byte, 4)
	nativeEndian.PutUint32(b, n)
	return b
}

func protocol(l4 byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{l4}}}
}

// opening is a SYN without ACK.
func opening() []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{0x12}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0x02}}}
}

// source loads the first bits of the sender's address.
func source(v6 bool, bits int) []expr.Any {
	offset, size := uint32(12), 32
	if v6 {
		offset, size = 8, 128
	}
	out := address(v6, offset)
	if bits < size {
		out = append(out, &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(size / 8), Mask: net.CIDRMask(bits, size), Xor: make([]byte, size/8)})
	}
	return out
}

// address loads one of the addresses in the header of a packet of that version.
func address(v6 bool, offset uint32) []expr.Any {
	family, size := byte(unix.NFPROTO_IPV4), uint32(4)
	if v6 {
		family, size = unix.NFPROTO_IPV6, 16
	}
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size}}
}

func drop(cause string) []expr.Any {
	return []expr.Any{&expr.Objref{Type: int(nftables.ObjTypeCounter), Name: cause}, &expr.Verdict{Kind: expr.VerdictDrop}}
}
