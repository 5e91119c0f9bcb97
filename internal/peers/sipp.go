package peers

import (
	"embed"
	"encoding/csv"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/tone"
)

//go:embed sipp/*.xml
var scenarios embed.FS

// Scenario runs a script of the folder sipp with the program of that name. A
// name that begins with uas waits for calls, one with uac makes them.
type Scenario struct {
	Name string // uas_answer, uac_call, …: the file's name without .xml; or the path of a file
	Addr netip.Addr
	Port uint16         // 5060
	To   netip.AddrPort // of callers: where they send everything
	TCP  bool           // one connection for all calls (also through a TLSRelay)
	Line *BadLine       // what it sends and receives goes this way; To is the line's business

	From       string // caller's user, +33123456789
	FromDomain string // Domain
	Service    string // called user, 1001
	Domain     string // of Request-URI and To, Domain
	Password   string // of From, for scenarios that are challenged

	Calls   int           // how many, 1; of uas 0 is without limit
	Rate    int           // of callers, calls a second, 10
	Hold    time.Duration // of callers, 500 ms
	Tone    float64       // of *_tone and uas_early, 1000 Hz
	Echo    bool          // send received audio back
	Proto   string        // of the media line, RTP/AVP
	Limit   time.Duration // after which the run is a failure, 60 s
	Args    []string      // more arguments
	Respond bool          // answer OPTIONS and INFO outside the script (sipp's -aa)
}

// SIPp is a running script.
type SIPp struct {
	*Process
	Scenario
}

// Stats are the counters of a finished run.
type Stats struct {
	Successful, Failed int
	Retransmissions    int
	Unexpected         int
	Final              map[int]int // of uac_any: final responses by code
}

// URI is where a uas is reached.
func (s *SIPp) URI() string {
	u := fmt.Sprintf("sip:%s", netip.AddrPortFrom(s.Addr, s.Port))
	if s.TCP {
		u += ";transport=tcp"
	}
	return u
}

// StartSIPp starts a script; a uas is ready when it returns.
func StartSIPp(tb testing.TB, n *Net, c Scenario) *SIPp {
	tb.Helper()
	if !c.Addr.IsValid() {
		c.Addr = n.Addr(tb)
	}
	or := func(s *string, def string) {
		if *s == "" {
			*s = def
		}
	}
	or(&c.From, "+33123456789")
	or(&c.FromDomain, Domain)
	or(&c.Service, "1001")
	or(&c.Domain, Domain)
	or(&c.Password, "pw"+c.From)
	or(&c.Proto, "RTP/AVP")
	if c.Port == 0 {
		c.Port = 5060
	}
	if c.Rate == 0 {
		c.Rate = 10
	}
	if c.Hold == 0 {
		c.Hold = 500 * time.Millisecond
	}
	if c.Tone == 0 {
		c.Tone = 1000
	}
	if c.Limit == 0 {
		c.Limit = time.Minute
	}
	server := strings.HasPrefix(filepath.Base(c.Name), "uas")
	if c.Calls == 0 && !server {
		c.Calls = 1
	}
	dir := tb.TempDir()
	file := script(tb, dir, c)
	if c.Line != nil && !server {
		c.To = c.Line.In
	}
	// Ten seconds, which the script repeats. Whole periods only, so that the
	// tone has no click where it starts again.
	pcm := tone.Sine(c.Tone, 0.4, 8000, 0, 80000)
	if err := os.WriteFile(filepath.Join(dir, "tone.ul"), tone.EncodeG711(0, pcm), 0o600); err != nil {
		tb.Fatalf("peers: %v", err)
	}
	media := uint16(16000)
	if !n.Prefix().Contains(c.Addr) { // an address that is shared with others
		media = FreePort(tb, c.Addr)
	}
	args := []string{"-sf", file, "-i", c.Addr.String(), "-p", fmt.Sprint(c.Port), "-mi", c.Addr.String(), "-nostdin",
		"-mp", fmt.Sprint(media),
		"-s", c.Service, "-key", "caller", c.From, "-key", "fromdomain", c.FromDomain, "-key", "domain", c.Domain, "-au", c.From, "-ap", c.Password,
		"-key", "proto", c.Proto, "-key", "hold_ms", fmt.Sprint(c.Hold.Milliseconds()),
		"-trace_stat", "-stf", filepath.Join(dir, "stat.csv"), "-fd", "1",
		"-trace_err", "-error_file", filepath.Join(dir, "error.log"), "-trace_logs", "-log_file", filepath.Join(dir, "notes.log"),
		"-trace_msg", "-message_file", filepath.Join(dir, "messages.log"),
		"-timeout", fmt.Sprintf("%.0fs", c.Limit.Seconds()), "-timeout_error", "-watchdog_interval", "0", "-cid_str", "%u-%p@%s"}
	if c.TCP {
		args = append(args, "-t", "t1")
	}
	if c.Calls > 0 {
		args = append(args, "-m", fmt.Sprint(c.Calls))
	}
	if c.Echo {
		args = append(args, "-rtp_echo")
	}
	if c.Respond {
		args = append(args, "-aa")
	}
	if !server {
		args = append(args, "-r", fmt.Sprint(c.Rate), "-recv_timeout", "15000")
		if c.To.IsValid() {
			args = append(args, c.To.String())
		}
	}
	if c.Line != nil {
		// What is late is no reason to give a call up.
		args = append(args, "-default_behaviors", "all,-abortunexp")
	}
	args = append(args, c.Args...)
	s := &SIPp{Scenario: c}
	s.Process = Start(tb, Command{Name: "sipp-" + strings.TrimSuffix(filepath.Base(c.Name), ".xml"), Path: "sipp", Dir: dir, Args: args})
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("errors of %s:\n%s\nmessages of it:\n%s", s.Name(), tail(s.read("error.log"), 30), tail(s.read("messages.log"), 150))
		}
	})
	if server {
		at := netip.AddrPortFrom(c.Addr, c.Port)
		s.until(5*time.Second, "its socket", func() bool { return bound(at, c.TCP) })
	}
	return s
}

// script gives the file of a scenario, which is written when there is none.
func script(tb testing.TB, dir string, c Scenario) string {
	tb.Helper()
	if strings.HasSuffix(c.Name, ".xml") && c.Line == nil {
		return c.Name
	}
	var b []byte
	var err error
	name := filepath.Base(c.Name)
	if strings.HasSuffix(name, ".xml") {
		b, err = os.ReadFile(c.Name)
	} else {
		name += ".xml"
		b, err = scenarios.ReadFile("sipp/" + name)
	}
	if err != nil {
		tb.Fatalf("peers: no such script: %v", err)
	}
	text := string(b)
	if c.Line != nil {
		// Requests of the gateway must take the line as well.
		text = contact.ReplaceAllString(text, "${1}"+c.Line.End.String())
		// A BYE may overtake the ACK, or come when that was lost.
		text = answered.ReplaceAllString(text, `<recv request="ACK" optional="true"/>$1`)
		// A script forgets a call after the last step, and would not repeat an
		// answer that was lost. RFC 3261 keeps it for Timer J and I; a caller, for
		// which a test waits, keeps it for three retransmissions.
		wait := 4000
		if strings.HasPrefix(name, "uas") {
			wait = 33000
		}
		text = strings.Replace(text, "</scenario>", fmt.Sprintf("  <timewait milliseconds=\"%d\"/>\n</scenario>", wait), 1)
	}
	return write(tb, filepath.Join(dir, name), text)
}

var (
	contact  = regexp.MustCompile(`(Contact: <sip:[^>]*)\[local_ip\]:\[local_port\]`)
	answered = regexp.MustCompile(`<recv request="ACK"/>(\s*<(?:label|nop))`) // and the call goes on
)

// Name of the script that runs.
func (s *SIPp) Name() string { return s.Process.Name }

func (s *SIPp) read(name string) string {
	b, err := os.ReadFile(filepath.Join(s.Dir, name))
	if err != nil {
		return "(none)"
	}
	return string(b)
}

// Messages are all SIP messages of the run, both ways, as text.
func (s *SIPp) Messages() string { return s.read("messages.log") }

var divider = regexp.MustCompile(`(?m)^-{40,} .*$`)

// Received are the SIP messages of the run that came to it.
func (s *SIPp) Received() string {
	var b strings.Builder
	for _, m := range divider.Split(s.Messages(), -1) {
		if head, text, ok := strings.Cut(strings.TrimSpace(m), "\n"); ok && strings.Contains(head, " message received ") {
			b.WriteString(strings.TrimSpace(text) + "\n\n")
		}
	}
	return b.String()
}

// fatal is sipp's status when the other side closes a connection, even after
// the last call.
const fatal = 255

// Success waits for the end of a run with a number of calls and fails the test
// unless every call went as the script says.
func (s *SIPp) Success() Stats {
	s.tb.Helper()
	code := s.Wait(s.Limit + 5*time.Second)
	st := s.Stats()
	closed := code == fatal && s.TCP && st.Successful == s.Calls
	if code != 0 && !closed || st.Failed > 0 {
		s.tb.Fatalf("peers: %s: status %d, %+v\n%s", s.Name(), code, st, tail(s.read("error.log"), 40))
	}
	return st
}

var final = regexp.MustCompile(`final (\d{3})`)

// Stats reads the counters; they are complete when the process has ended.
func (s *SIPp) Stats() Stats {
	st := Stats{Final: map[int]int{}}
	r := csv.NewReader(strings.NewReader(s.read("stat.csv")))
	r.Comma, r.FieldsPerRecord, r.LazyQuotes = ';', -1, true
	rows, err := r.ReadAll()
	if err != nil || len(rows) < 2 {
		return st
	}
	last := rows[len(rows)-1]
	for i, name := range rows[0] {
		if i >= len(last) {
			break
		}
		v, _ := strconv.Atoi(last[i])
		switch name {
		case "SuccessfulCall(C)":
			st.Successful = v
		case "FailedCall(C)":
			st.Failed = v
		case "Retransmissions(C)":
			st.Retransmissions = v
		case "FailedUnexpectedMessage(C)":
			st.Unexpected = v
		}
	}
	for _, m := range final.FindAllStringSubmatch(s.read("notes.log"), -1) {
		code, _ := strconv.Atoi(m[1])
		st.Final[code]++
	}
	return st
}
