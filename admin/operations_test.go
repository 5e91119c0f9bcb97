package admin

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// An operation that the program brings along is served, documented, and not to
// be had by a page of another site.
func TestOperations(t *testing.T) {
	const doc = `{"operationId": "x", "summary": "x", "responses": {"200": {"description": "ok"}}}`
	changed := 0
	s := start(t, Options{Schemas: map[string][]byte{"policy": []byte(`{"type":"object"}`)}, Operations: []Operation{
		{"GET", "/api/v1/things/{id}", doc, func(r *http.Request) (any, error) {
			switch id := r.PathValue("id"); id {
			case "none":
				return nil, NotFound("no such thing")
			case "broken":
				return nil, errors.New("it broke")
			default:
				return map[string]string{"id": id}, nil
			}
		}},
		{"POST", "/api/v1/things", doc, func(r *http.Request) (any, error) {
			var body struct{ Name string }
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
				return nil, BadRequest(err.Error())
			}
			changed++
			return body, nil
		}},
	}})
	send := func(method, path, kind, body string, header ...string) (int, string) {
		t.Helper()
		r, err := http.NewRequest(method, "http://"+s.Addr().String()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if kind != "" {
			r.Header.Set("Content-Type", kind)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	const json = "application/json"
	for _, c := range []struct {
		method, path, kind, body string
		status                   int
		want                     string
	}{
		{"GET", "/api/v1/things/a", "", "", 200, `{"id":"a"}`},
		{"GET", "/api/v1/things/none", "", "", 404, "no such thing"},
		{"GET", "/api/v1/things/broken", "", "", 500, "it broke"},
		{"GET", "/api/v1/things", "", "", 405, "not for GET"},
		{"DELETE", "/api/v1/things/a", json, "", 405, "not for DELETE"},
		{"GET", "/api/v1/schema/policy.json", "", "", 200, `{"type":"object"}`},
		{"GET", "/api/v1/schema/policy", "", "", 404, "no such schema"},
		{"POST", "/api/v1/things", json + "; charset=utf-8", `{"Name":"b"}`, 200, `{"Name":"b"}`},
		{"POST", "/api/v1/things", json, `{`, 400, "unexpected EOF"},
		{"POST", "/api/v1/things", json, `{"Name":"` + strings.Repeat("x", maxBody) + `"}`, 400, "too large"},
		{"POST", "/api/v1/things", "", `{"Name":"b"}`, 415, json},
		{"POST", "/api/v1/things", "text/plain", `{"Name":"b"}`, 415, json},
		{"POST", "/api/v1/things", "application/x-www-form-urlencoded", `{"Name":"b"}`, 415, json},
	} {
		if status, body := send(c.method, c.path, c.kind, c.body); status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, status, body, c.status, c.want)
		}
	}
	for _, h := range [][]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}} {
		if status, _ := send("POST", "/api/v1/things", json, `{"Name":"b"}`, h...); status != 403 {
			t.Errorf("%v: %d", h, status)
		}
	}
	if changed != 1 {
		t.Errorf("changed %d times", changed)
	}
	if doc := string(ask(t, s, "GET", "/api/v1/openapi.json").body); !strings.Contains(doc, `"/api/v1/things/{id}"`) || !strings.Contains(doc, `"post"`) {
		t.Error("the operations are not in the document")
	}
	if _, err := New(Options{Listen: "127.0.0.1:0", Operations: []Operation{{Method: "GET", Path: "/x", Doc: "{"}}}); err == nil {
		t.Error("a broken document was taken")
	}
}
