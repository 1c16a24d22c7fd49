// Package conf reads a program's configuration into one typed struct, which nobody changes afterwards: flags first, then the
// environment, then a file, then the defaults, which are a value of the same struct. viper ends in here.
package conf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Prefix begins the name of each variable of the environment: the key "tunnel.listen" is KUBILITICS_TUNNEL_LISTEN.
const Prefix = "KUBILITICS"

// Program says where a program's configuration comes from.
type Program struct {
	Name string // of the file, without ".yaml", and of the program
	// Dirs are looked through for the file, the first one wins; nil means /etc/kubilitics, $HOME/.kubilitics and the current directory.
	Dirs []string
	// Environ is the environment; nil means the process's own.
	Environ []string
}

// field is one key of the configuration, from the struct's tags: conf:"tunnel.listen", usage:"…", secret:"true".
type field struct {
	key    string
	usage  string
	secret bool
	value  reflect.Value
}

// fieldsOf lists the fields of a struct that carry a conf tag, in order. Nested structs give their key to their fields.
func fieldsOf(v reflect.Value, prefix string) []field {
	var out []field
	t := v.Type()
	for i := range t.NumField() {
		key, ok := t.Field(i).Tag.Lookup("conf")
		if !ok {
			continue
		}
		key = prefix + key
		if f := v.Field(i); f.Kind() == reflect.Struct {
			out = append(out, fieldsOf(f, key+".")...)
		} else {
			tag := t.Field(i).Tag
			out = append(out, field{key: key, usage: tag.Get("usage"), secret: tag.Get("secret") == "true", value: f})
		}
	}
	return out
}

// list tells a field that holds parts with keys of their own: only the file can say them.
func (f field) list() bool {
	return f.value.Kind() == reflect.Slice && f.value.Type().Elem().Kind() == reflect.Struct
}

// parts lists the fields of a list's parts: "plugins[0].name".
func (f field) parts() (out []field) {
	for i := range f.value.Len() {
		out = append(out, fieldsOf(f.value.Index(i), fmt.Sprintf("%s[%d].", f.key, i))...)
	}
	return out
}

// flagName is a key as a flag: "tunnel.listen" is --tunnel-listen.
func flagName(key string) string { return strings.ReplaceAll(key, ".", "-") }

func envName(key string) string {
	return Prefix + "_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// Flags adds a flag for every key, and --config for the file. Fields may be string, bool, int, int64, float64, time.Duration or []string; a list of structs of
// such fields has no flag and no variable.
func Flags[T any](set *pflag.FlagSet, defaults T) {
	set.String("config", "", "the configuration file, instead of the one that is looked for")
	for _, f := range fieldsOf(reflect.ValueOf(&defaults).Elem(), "") {
		if f.list() {
			continue
		}
		usage := f.usage + " (" + envName(f.key) + ")"
		switch d := f.value.Interface().(type) {
		case string:
			set.String(flagName(f.key), d, usage)
		case bool:
			set.Bool(flagName(f.key), d, usage)
		case int:
			set.Int(flagName(f.key), d, usage)
		case int64:
			set.Int64(flagName(f.key), d, usage)
		case float64:
			set.Float64(flagName(f.key), d, usage)
		case time.Duration:
			set.Duration(flagName(f.key), d, usage)
		case []string:
			set.StringSlice(flagName(f.key), d, usage)
		default:
			panic(fmt.Sprintf("conf: %s has a type that configuration doesn't have: %T", f.key, d)) // a mistake in the struct, seen at the first start
		}
	}
}

// Load reads the configuration. Keys that don't exist, in the file or in the environment, are an error that names the nearest one that does.
func Load[T any](p Program, set *pflag.FlagSet, defaults T) (T, error) {
	out := defaults
	v := viper.New()
	fields := fieldsOf(reflect.ValueOf(&out).Elem(), "")
	for _, f := range fields {
		v.SetDefault(f.key, f.value.Interface())
		if f.list() {
			continue
		}
		if err := errors.Join(v.BindEnv(f.key, envName(f.key)), v.BindPFlag(f.key, set.Lookup(flagName(f.key)))); err != nil {
			return out, fault.Wrap(err, fault.Internal, "the key %s can't be read", f.key)
		}
	}
	if err := p.checkEnviron(fields); err != nil {
		return out, err
	}
	if err := p.readFile(v, set, fields); err != nil {
		return out, err
	}
	err := v.Unmarshal(&out, func(c *mapstructure.DecoderConfig) { c.TagName = "conf" })
	if err != nil {
		return out, fault.Wrap(err, fault.BadRequest, "the configuration has a value of the wrong type")
	}
	return out, nil
}

// own are variables with our prefix that configure no program: tests and development use them.
var own = []string{Prefix + "_CACHE", Prefix + "_TEST_"}

// people are those of the command for people, whose shell a program may be started from; where a program knows one of them itself, it is its own.
var people = []string{Prefix + "_HUB", Prefix + "_TOKEN"}

func (p Program) checkEnviron(fields []field) error {
	environ := p.Environ
	if environ == nil {
		environ = os.Environ()
	}
	var known []string
	for _, f := range fields {
		if !f.list() {
			known = append(known, envName(f.key))
		}
	}
	for _, e := range environ {
		name, _, _ := strings.Cut(e, "=")
		foreign := !strings.HasPrefix(name, Prefix+"_") || slices.ContainsFunc(own, func(o string) bool { return strings.HasPrefix(name, o) })
		if foreign || slices.Contains(known, name) || slices.Contains(people, name) || isServiceLink(name, environ) {
			continue
		}
		return unknown("the environment", name, known)
	}
	return nil
}

// isServiceLink tells the variables that Kubernetes sets in every Pod for each Service of its namespace. A Service called kubilitics-hub gives
// KUBILITICS_HUB_SERVICE_HOST, KUBILITICS_HUB_PORT and others, which nobody wrote and which configure nothing.
func isServiceLink(name string, environ []string) bool {
	return slices.ContainsFunc(environ, func(e string) bool {
		service, ok := strings.CutSuffix(strings.SplitN(e, "=", 2)[0], "_SERVICE_HOST")
		rest, ours := strings.CutPrefix(name, service+"_")
		return ok && ours && (rest == "PORT" || strings.HasPrefix(rest, "PORT_") || strings.HasPrefix(rest, "SERVICE_"))
	})
}

func (p Program) readFile(v *viper.Viper, set *pflag.FlagSet, fields []field) error {
	path, err := p.file(set)
	if path == "" || err != nil {
		return err
	}
	v.SetConfigFile(path)
	if err := v.ReadInConfig(); err != nil {
		return fault.Wrap(err, fault.BadRequest, "the configuration file %s can't be read", path)
	}
	own := viper.New()
	own.SetConfigFile(path)
	if err := own.ReadInConfig(); err != nil {
		return fault.Wrap(err, fault.BadRequest, "the configuration file %s can't be read", path)
	}
	var known []string
	for _, f := range fields {
		known = append(known, f.key)
	}
	for _, key := range own.AllKeys() {
		if !slices.Contains(known, key) {
			return unknown(path, key, known)
		}
	}
	for _, f := range fields {
		if !f.list() {
			continue
		}
		if err := checkParts(path, own.Get(f.key), f); err != nil {
			return err
		}
	}
	return nil
}

// checkParts finds keys that don't exist in what a file says of a list.
func checkParts(path string, said any, f field) error {
	if said == nil {
		return nil
	}
	items, ok := said.([]any)
	if !ok {
		return fault.New(fault.BadRequest, "%s: %s must be a list", path, f.key).WithField(f.key, "must be a list")
	}
	for i, item := range items {
		at := fmt.Sprintf("%s[%d]", f.key, i)
		keys, ok := item.(map[string]any)
		if !ok {
			return fault.New(fault.BadRequest, "%s: %s must have keys", path, at).WithField(at, "must have keys")
		}
		var known []string
		for _, part := range fieldsOf(reflect.New(f.value.Type().Elem()).Elem(), at+".") {
			known = append(known, part.key)
		}
		one := viper.New()
		if err := one.MergeConfigMap(keys); err != nil {
			return fault.Wrap(err, fault.BadRequest, "%s: %s can't be read", path, at)
		}
		for _, key := range one.AllKeys() {
			if !slices.Contains(known, at+"."+key) {
				return unknown(path, at+"."+key, known)
			}
		}
	}
	return nil
}

// file finds the configuration file: "" when there is none and none was named.
func (p Program) file(set *pflag.FlagSet) (string, error) {
	if named, err := set.GetString("config"); err == nil && named != "" {
		if _, err := os.Stat(named); err != nil {
			return "", fault.Wrap(err, fault.BadRequest, "the configuration file %s can't be read", named)
		}
		return named, nil
	}
	dirs := p.Dirs
	if dirs == nil {
		dirs = []string{"/etc/kubilitics", "."}
		if home, err := os.UserHomeDir(); err == nil {
			dirs = slices.Insert(dirs, 1, filepath.Join(home, ".kubilitics"))
		}
	}
	for _, d := range dirs {
		path := filepath.Join(d, p.Name+".yaml")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", nil
}

// FlagFault words what is wrong with flags, as cobra's SetFlagErrorFunc wants it; of one that doesn't exist it names the nearest that does.
func FlagFault(set *pflag.FlagSet, err error) error {
	var missing *pflag.NotExistError
	if !errors.As(err, &missing) {
		return fault.Wrap(err, fault.BadRequest, "wrong flags")
	}
	var known []string
	set.VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
	return unknown("the command line", "--"+missing.GetSpecifiedName(), known)
}

func unknown(where, key string, known []string) error {
	f := fault.New(fault.BadRequest, "%s has the key %q, which doesn't exist", where, key)
	if near := fault.Nearest(key, known); near != "" {
		f.Message += fmt.Sprintf("; the nearest one is %q", near)
	}
	return f
}

// Line is a key with its effective value; secrets are masked.
type Line struct {
	Key   string
	Value string
}

// Lines lists the effective configuration in the order of the struct.
func Lines[T any](c T) []Line {
	var out []Line
	all := fieldsOf(reflect.ValueOf(&c).Elem(), "")
	for i := 0; i < len(all); i++ {
		f := all[i]
		if f.list() {
			all = slices.Insert(all, i+1, f.parts()...)
			continue
		}
		text := f.text()
		if f.secret && !f.value.IsZero() {
			text = "********"
		}
		out = append(out, Line{f.key, text})
	}
	return out
}
