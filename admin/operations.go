package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Operation is a resource that the program brings along: how it is asked and
// who answers. What changes something is asked with Content-Type:
// application/json.
type Operation struct {
	Method string // GET, POST, PUT or DELETE
	Path   string // "/api/v1/calls/{id}/explain"
	Doc    string // its Operation Object of OpenAPI, JSON
	// Serve answers with a value for JSON. An error is answered with its
	// [Status], else with 500 and its text.
	Serve func(*http.Request) (any, error)
}

// Status is an error with the HTTP status that it is answered with.
type Status struct {
	Code   int
	Detail string
}

func (s Status) Error() string { return s.Detail }

// NotFound is the answer for what is not there.
func NotFound(detail string) error { return Status{http.StatusNotFound, detail} }

// BadRequest is the answer for what cannot be understood.
func BadRequest(detail string) error { return Status{http.StatusBadRequest, detail} }

// Conflict is the answer for what cannot be done now.
func Conflict(detail string) error { return Status{http.StatusConflict, detail} }

// document adds the operations to the OpenAPI document.
func document(ops []Operation) ([]byte, error) {
	if len(ops) == 0 {
		return openapiDoc, nil
	}
	var doc map[string]any
	if err := json.Unmarshal(openapiDoc, &doc); err != nil {
		return nil, fmt.Errorf("openapi document: %w", err)
	}
	paths := doc["paths"].(map[string]any)
	for _, op := range ops {
		var d map[string]any
		if err := json.Unmarshal([]byte(op.Doc), &d); err != nil {
			return nil, fmt.Errorf("openapi document of %s %s: %w", op.Method, op.Path, err)
		}
		item, _ := paths[op.Path].(map[string]any)
		if item == nil {
			item = map[string]any{}
			paths[op.Path] = item
		}
		item[strings.ToLower(op.Method)] = d
	}
	return json.Marshal(doc)
}

func (s *Server) operations() (out []route) {
	for _, op := range s.o.Operations {
		out = append(out, route{op.Method, op.Path, func(w http.ResponseWriter, r *http.Request) {
			v, err := op.Serve(r)
			var st Status
			switch {
			case errors.As(err, &st):
				problem(w, st.Code, st.Detail)
			case err != nil:
				s.o.Log.Error("admin request failed", "path", r.URL.Path, "error", err)
				problem(w, http.StatusInternalServerError, err.Error())
			default:
				answer(w, http.StatusOK, v)
			}
		}})
	}
	return out
}

// schema serves the JSON Schemas for editors and log pipelines.
func (s *Server) schema(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutSuffix(r.PathValue("name"), ".json")
	b := s.o.Schemas[name]
	if !ok || b == nil {
		problem(w, http.StatusNotFound, "no such schema")
		return
	}
	w.Header().Set("Content-Type", "application/schema+json")
	w.Write(b)
}
