package store

import "context"

// Describer tells how large a database is.
type Describer interface {
	// Describe tells of the database's size and schema, and of nothing that is in it. It may take a second in a large one.
	Describe(ctx context.Context) (Description, error)
}

// Description is what a database tells of itself.
type Description struct {
	Body    string  `json:"body"`    // postgres or sqlite
	Version string  `json:"version"` // of the database's program
	Schema  int64   `json:"schema"`  // the number of the last migration
	Bytes   int64   `json:"bytes"`   // all of it
	Tables  []Table `json:"tables"`  // by name; parts of one count as the whole
}

// Table is one table.
type Table struct {
	Name  string `json:"name"`
	Rows  int64  `json:"rows"`            // about
	Bytes int64  `json:"bytes,omitempty"` // with its indexes; 0 where that isn't known of single tables
}
