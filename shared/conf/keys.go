package conf

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Key is one key of a configuration, as a page of reference tells it.
type Key struct {
	Name     string // "tunnel.listen"; "plugins[].name" is one of each part of the list "plugins"
	Flag     string // "--tunnel-listen"; "" where only the file can say it
	Variable string // "KUBILITICS_TUNNEL_LISTEN"; likewise
	Type     string // text, switch, number, fraction, duration, list (of texts), parts (a list of what has keys of its own)
	Default  string // "" for nothing
	Usage    string
	Secret   bool // what shows it masks it
}

// Keys lists the keys of a configuration in the order of its struct; after a list of parts come the keys of such a part.
func Keys[T any](defaults T) []Key {
	return keysOf(reflect.ValueOf(&defaults).Elem(), "", true)
}

func keysOf(v reflect.Value, prefix string, settable bool) (out []Key) {
	for _, f := range fieldsOf(v, prefix) {
		k := Key{Name: f.key, Type: f.typeName(), Usage: f.usage, Secret: f.secret}
		if settable && !f.list() {
			k.Flag, k.Variable = "--"+flagName(f.key), envName(f.key)
		}
		if !f.value.IsZero() && !f.list() {
			k.Default = f.text()
		}
		out = append(out, k)
		if f.list() {
			out = append(out, keysOf(reflect.New(f.value.Type().Elem()).Elem(), f.key+"[].", false)...)
		}
	}
	return out
}

func (f field) typeName() string {
	switch f.value.Interface().(type) {
	case string:
		return "text"
	case bool:
		return "switch"
	case int, int64:
		return "number"
	case float64:
		return "fraction"
	case time.Duration:
		return "duration"
	case []string:
		return "list"
	}
	return "parts"
}

// text is a value as it is shown: a duration without the units that are zero, a list as YAML has it.
func (f field) text() string {
	switch v := f.value.Interface().(type) {
	case time.Duration:
		return duration(v)
	case []string:
		return "[" + strings.Join(v, ", ") + "]"
	}
	return fmt.Sprint(f.value.Interface())
}

func duration(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-len(zero)+1]
		}
	}
	return text
}
