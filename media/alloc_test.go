//go:build !race

package media

import "testing"

// TestNoAllocation: relaying a packet allocates nothing, in no suite, and
// refusing one by its source does not either.
func TestNoAllocation(t *testing.T) {
	for _, c := range []struct {
		name   string
		suites [2]Suite
	}{
		{"RTP to RTP", [2]Suite{}},
		{"GCM to RTP", [2]Suite{AEAD_AES_128_GCM, 0}},
		{"RTP to GCM", [2]Suite{0, AEAD_AES_256_GCM}},
		{"GCM to GCM", [2]Suite{AEAD_AES_256_GCM, AEAD_AES_128_GCM}},
		{"CM to RTP", [2]Suite{AES_CM_128_HMAC_SHA1_80, 0}},
		{"RTP to CM", [2]Suite{0, AES_CM_128_HMAC_SHA1_32}},
	} {
		r := newFakeRig(t, c.suites)
		packets := sealedRun(t, r, 1100)
		i := 0
		next := func() {
			if r.give(r.in[A], packets[i], r.far[A].RTP) == nil {
				t.Fatal(r.s.Stats()[A].Refused)
			}
			i++
		}
		next() // the first packet of a source makes its state
		if got := testing.AllocsPerRun(1000, next); got != 0 {
			t.Errorf("%s: %.1f allocations per packet", c.name, got)
		}
	}

	r := newFakeRig(t, [2]Suite{})
	in := marshal(t, report, sdes(1, cname("alice@10.0.0.5")))
	if got := testing.AllocsPerRun(1000, func() { r.give(r.rtcp[A], in, r.far[A].RTCP) }); got != 0 {
		t.Errorf("RTCP: %.1f allocations per packet", got)
	}
	wrong := rtpPacket(1, 1, "x")
	if got := testing.AllocsPerRun(1000, func() { r.give(r.in[A], wrong, r.far[B].RTP) }); got != 0 {
		t.Errorf("wrong source: %.1f allocations per packet", got)
	}
}
