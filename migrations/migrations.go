// Package migrations holds the schemas of the hub's store as numbered steps, one folder a database, each step with its way back.
package migrations

import "embed"

// FS holds postgres/NNNN_name.{up,down}.sql and sqlite/NNNN_name.{up,down}.sql.
//
//go:embed postgres/*.sql sqlite/*.sql
var FS embed.FS
