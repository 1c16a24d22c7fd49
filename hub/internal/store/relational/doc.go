// Package relational is what the two bodies of the store share: the statements that Postgres and SQLite both understand, the plan
// of what a delta changes, and the codecs of columns. What one database does better in its own way (COPY, pipelines, prepared
// statements, doorbells) stays in its body.
package relational
