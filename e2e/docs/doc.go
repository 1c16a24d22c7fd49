// Package docs holds the documentation against the programs: every block of commands in README.md and docs is run, page by page, in one shell a page, against
// real control planes, a real hub and real agents; links lead somewhere; Go in a page compiles.
//
// How a page is written for that:
//
//   - Commands stand in a block fenced as sh. Each of them must succeed; one that is said to tell something by its exit code (--exit-code) may.
//   - A block fenced as text or json right behind it is what it prints, compared in shape: words that hold digits, and …, stand for any.
//   - <!-- not run here: REASON --> above a block leaves it out.
//   - <!-- first: COMMAND --> above a block is run before it: what a reader who comes to this block has done, or has not.
//   - <!-- file: NAME --> above a block fenced as yaml, text or json writes it into the directory in which the commands run.
//   - <!-- in: FOLDER --> above a block fenced as go says which package of the house it stands in, for one that isn't a file by itself.
//
// What the readers of a page have: a hub at https://hub.example (and $HUB) to which clusters tidewater-eu and tidewater-us report, that run the application of the demo, an
// administrator's token for it ($TOKEN), the id of tidewater-eu ($CLUSTER), and a login. kubectl and helm, where a page installs something, speak to a cluster of the page's own. Names such as
// hub.example are reached by a proxy, as from many an office, so commands run as they are written. Only what differs everywhere is put in: placeholders with an
// ellipsis (kbl1.…, kbt1.…, postgres://…), and ports that may be taken. See substitute.
package docs
