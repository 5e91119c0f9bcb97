package number

import (
	"strings"
	"testing"
)

// TestExtensionsAreBounded: an expression that would cost every call more than a
// rule may is a problem of the file, however short it is.
func TestExtensionsAreBounded(t *testing.T) {
	for text, fine := range map[string]bool{
		DefaultExtensions: true, "": true, "[1-9][0-9]{2,4}|7[0-9]{5}|\\*[0-9]{2}": true, "(?:1[0-9]{3}|20[0-9]{2})": true, "[0-9]{1,900}": true,
		"[0-9]{1,999}[0-9]{1,999}": false, "(?:[0-9]{1,30}){1,30}[0-9]{1,999}": false, "((1{1,10}){1,10}){1,10}{1,10}": false,
		strings.Repeat("1", 1900): true, strings.Repeat("1", 2100): false, strings.Repeat("[0-9]?", 340): false,
	} {
		e, err := compileExtensions(text)
		if (err == nil) != fine {
			t.Errorf("%.40q: %v", text, err)
		}
		if err == nil && e.re == nil {
			t.Errorf("%.40q: nothing compiled", text)
		}
	}
}
