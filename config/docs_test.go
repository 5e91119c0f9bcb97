package config

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

// key is one key of the language.
type key struct {
	path  string
	value reflect.Value // its default; invalid where there is none
}

// keys walks the structs; entries of lists count as sections.
func keys(t reflect.Type, v reflect.Value, path string) (out []key) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		if t.Elem().Kind() != reflect.Struct || isLeaf(t.Elem()) {
			break
		}
		t, v = t.Elem(), reflect.Value{}
	}
	switch t {
	case reflect.TypeFor[PBX]():
		t, v = reflect.TypeFor[pbxYAML](), reflect.ValueOf(pbxYAML{Name: "main", SRTP: SRTPOff, Health: 10 * time.Second, Weight: 1, Failover: []int{502, 503, 504}})
	case reflect.TypeFor[Sink]():
		return []key{{path: path}, {path: path + ".file"}, {path: path + ".max_size"}, {path: path + ".keep"}}
	}
	if t.Kind() != reflect.Struct || isLeaf(t) {
		return []key{{path, v}}
	}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		if path != "" {
			name = path + "." + name
		}
		var fv reflect.Value
		if v.IsValid() {
			fv = v.Field(i)
		}
		out = append(out, keys(t.Field(i).Type, fv, name)...)
	}
	return out
}

func isLeaf(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[URI](), reflect.TypeFor[Address](), reflect.TypeFor[Ports](), reflect.TypeFor[Optional](), reflect.TypeFor[Server](), reflect.TypeFor[Secret](), reflect.TypeFor[strictyaml.Reserved]():
		return true
	}
	return t.PkgPath() == "net/netip"
}

// shown is how the page writes a default.
func shown(v reflect.Value) []string {
	switch x := v.Interface().(type) {
	case time.Duration:
		s := x.String()
		for _, unit := range []string{"m", "h"} {
			if whole, ok := strings.CutSuffix(s, unit+map[string]string{"m": "0s", "h": "0m"}[unit]); ok {
				s = whole + unit
			}
		}
		return []string{s}
	case Optional:
		return []string{x.AddrPort.String()}
	case fmt.Stringer:
		return []string{x.String()}
	}
	if v.Kind() == reflect.Slice {
		var out []string
		for i := range v.Len() {
			out = append(out, shown(v.Index(i))...)
		}
		return out
	}
	return []string{fmt.Sprint(v)}
}

func page(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Every key has a row, and the row tells its default.
func TestEveryKeyIsDocumented(t *testing.T) {
	text := page(t)
	rows := map[string][]string{}
	for line := range strings.Lines(text) {
		if cells := strings.Split(line, " | "); strings.HasPrefix(line, "| `") {
			for _, name := range strings.Split(strings.TrimPrefix(cells[0], "| "), ", ") {
				rows[strings.Trim(name, "`")] = cells
			}
		}
	}
	office, centre := Defaults(Office), Defaults(CallCentre)
	seen := map[string]bool{}
	for _, p := range []Config{office, centre} {
		for _, k := range keys(reflect.TypeFor[Config](), reflect.ValueOf(p), "") {
			seen[k.path] = true
			cells, ok := rows[k.path]
			if !ok {
				t.Errorf("%s is not documented", k.path)
				continue
			}
			if !k.value.IsValid() || k.value.IsZero() || k.path == "node" || k.path == "profile" {
				continue
			}
			for _, want := range shown(k.value) {
				if !strings.Contains(cells[1], "`"+want+"`") {
					t.Errorf("%s: the default %s is not in %q", k.path, want, cells[1])
				}
			}
		}
	}
	if len(seen) < 80 {
		t.Errorf("only %d keys were walked", len(seen))
	}
	sections := map[string]bool{"alerts.syslog": true, "alerts.webhook": true, "pbx": true, "peers": true, "peers.identify": true,
		"peers.register": true, "routes": true, "tls.certificate": true, "pbx.certificate": true, "peers.certificate": true}
	for name := range rows {
		if !seen[name] && !sections[name] {
			t.Errorf("%s is documented and does not exist", name)
		}
	}
}

// Every example loads; warnings are those of a plaintext carrier only.
func TestEveryExampleLoads(t *testing.T) {
	n := 0
	for i, part := range strings.Split(page(t), "```yaml\n")[1:] {
		src, _, _ := strings.Cut(part, "```")
		n++
		ps := func() strictyaml.Problems {
			_, ps := Parse("rampart.yaml", []byte(src), fakeHost(exampleFiles()))
			return ps
		}()
		for _, p := range ps {
			plain := strings.Contains(p.Message, "without encryption") || strings.Contains(p.Message, "address alone")
			if !p.Warning || !plain && !strings.Contains(p.Message, "home.country") {
				t.Errorf("example %d: %s", i+1, p)
			}
		}
	}
	if n < 8 {
		t.Errorf("only %d examples", n)
	}
}
