package conf

import (
	"net/url"
	"reflect"
	"strings"
)

// Secrets lists the texts in a configuration that nobody may see: the values of keys that are secret, and the parts of them that are secrets by themselves, such
// as the password in an address or what follows the name in NAME=value. For whoever must make sure that a text holds none of them.
func Secrets[T any](c T) []string {
	var out []string
	all := fieldsOf(reflect.ValueOf(&c).Elem(), "")
	for i := 0; i < len(all); i++ {
		f := all[i]
		switch {
		case f.list():
			all = append(all, f.parts()...)
		case !f.secret:
		case f.value.Kind() == reflect.String:
			out = append(out, within(f.value.String())...)
		case f.value.Kind() == reflect.Slice:
			for n := range f.value.Len() {
				out = append(out, within(f.value.Index(n).String())...)
			}
		}
	}
	return out
}

// within gives a secret's text and its parts. Parts so short that they stand in any text by chance are left out.
func within(text string) []string {
	const least = 4
	parts := []string{text}
	if _, value, ok := strings.Cut(text, "="); ok && !strings.Contains(text, "://") {
		parts = append(parts, strings.TrimSpace(value))
	}
	if u, err := url.Parse(text); err == nil && u.Host != "" {
		if password, ok := u.User.Password(); ok {
			parts = append(parts, password, url.QueryEscape(password), u.User.String())
		}
		parts = append(parts, strings.Trim(u.EscapedPath(), "/"), u.RawQuery)
	}
	var out []string
	for _, p := range parts {
		if len(p) >= least {
			out = append(out, p)
		}
	}
	return out
}
