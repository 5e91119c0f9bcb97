package peers

import (
	"net/netip"
	"testing"
)

// Every script against its counterpart, without anything in between.
func TestScriptsAgainstEachOther(t *testing.T) {
	for _, c := range []struct {
		uas, uac string
		tcp      bool
		final    int
	}{
		{uas: "uas_answer", uac: "uac_call"},
		{uas: "uas_answer", uac: "uac_call", tcp: true},
		{uas: "uas_answer", uac: "uac_tone"},
		{uas: "uas_answer", uac: "uac_reinvite"},
		{uas: "uas_answer", uac: "uac_any", final: 200},
		{uas: "uas_tone", uac: "uac_call"},
		{uas: "uas_early", uac: "uac_call"},
		{uas: "uas_ring", uac: "uac_call"},
		{uas: "uas_ring", uac: "uac_reinvite"},
		{uas: "uas_bye", uac: "uac_wait"},
		{uas: "uas_noanswer", uac: "uac_cancel"},
		{uas: "uas_busy", uac: "uac_any", final: 486},
		{uas: "uas_unavailable", uac: "uac_any", final: 503},
		{uas: "uas_decline", uac: "uac_any", final: 603},
		{uas: "uas_notfound", uac: "uac_any", final: 404},
	} {
		name := c.uas + "/" + c.uac
		if c.tcp {
			name += "/tcp"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := NewNet(t)
			uas := StartSIPp(t, n, Scenario{Name: c.uas, TCP: c.tcp, Echo: c.uas == "uas_answer", Calls: 3})
			uac := StartSIPp(t, n, Scenario{Name: c.uac, TCP: c.tcp, Calls: 3, To: netip.AddrPortFrom(uas.Addr, uas.Port)})
			st := uac.Success()
			if st.Successful != 3 {
				t.Errorf("caller: %+v, want 3 successful calls", st)
			}
			if got := uas.Success(); got.Successful != 3 {
				t.Errorf("called: %+v, want 3 successful calls", got)
			}
			if c.final != 0 && st.Final[c.final] != 3 {
				t.Errorf("final responses %v, want 3 times %d", st.Final, c.final)
			}
		})
	}
}
