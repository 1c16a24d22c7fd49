// Package watch turns a Kubernetes API into changes of objects: it finds every kind that can be listed and watched,
// keeps one of client-go's reflectors on each, reduces every object while it is decoded, and hands out what changed,
// newest state only. It keeps the names of what it has seen, and no object.
package watch
