// Package containers runs a fleet as people run one: hub, Postgres and agents each in a container of its own, of the very images that are released, and
// cuts their networks and kills them. It holds tests alone, and they want a Docker engine: without one they say so and nothing runs. No image is
// pulled: ours are made here, and Postgres' is made of the machine's own programs where it has them.
package containers
