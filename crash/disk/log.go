package disk

import "fmt"

// Node names a file or a folder for its whole life, whatever its names are.
type Node int

// Root is the folder that the log begins with; it is durable.
const Root Node = 0

// Kind is what an operation does.
type Kind uint8

// The operations.
const (
	Write    Kind = iota + 1 // Data at Off of Node
	Truncate                 // Node to Size
	Link                     // the name Name in Dir for Node, a new one or an old one
	Unlink                   // the name Name of Dir goes
	Rename                   // the name Name of Dir becomes To in Dir
	Sync                     // Node, a file, is made durable
	SyncDir                  // Dir's names are made durable
	Refused                  // an operation that failed and changed nothing
	Dropped                  // a sync of Node that failed, and what was not synced yet is lost
	Note                     // the program says something: no operation
)

func (k Kind) String() string {
	return [...]string{"nothing", "write", "truncate", "link", "unlink", "rename", "sync", "sync folder", "refused", "dropped", "note"}[k]
}

// Op is one operation.
type Op struct {
	Kind Kind
	Node Node
	Dir  Node
	Name string
	To   string
	Off  int64
	Size int64
	Data []byte
	Text string // of a Note
}

func (o Op) String() string {
	switch o.Kind {
	case Write:
		return fmt.Sprintf("write %d bytes at %d of node %d", len(o.Data), o.Off, o.Node)
	case Truncate:
		return fmt.Sprintf("truncate node %d to %d", o.Node, o.Size)
	case Link:
		return fmt.Sprintf("link %q to node %d", o.Name, o.Node)
	case Unlink:
		return fmt.Sprintf("unlink %q", o.Name)
	case Rename:
		return fmt.Sprintf("rename %q to %q", o.Name, o.To)
	case Sync, Dropped:
		return fmt.Sprintf("%s node %d", o.Kind, o.Node)
	}
	return o.Kind.String() + " " + o.Text
}

// Log is what happened to a disk. It is not safe for concurrent use.
type Log struct {
	Ops   []Op
	nodes []nodeInfo
}

type nodeInfo struct {
	dir  bool
	mode uint32
}

// NewLog returns the log of an empty disk.
func NewLog() *Log { return &Log{nodes: []nodeInfo{{dir: true, mode: 0o700}}} }

// NewNode makes a node that has no name yet.
func (l *Log) NewNode(dir bool, mode uint32) Node {
	l.nodes = append(l.nodes, nodeInfo{dir, mode & 0o777})
	return Node(len(l.nodes) - 1)
}

// SetMode changes the permissions of a node, in every image.
func (l *Log) SetMode(n Node, mode uint32) { l.nodes[n].mode = mode & 0o777 }

// Add appends an operation. The log keeps its Data.
func (l *Log) Add(o Op) { l.Ops = append(l.Ops, o) }

// Crashes returns how many operations can be the last before the power goes.
func (l *Log) Crashes() (n int) {
	for _, o := range l.Ops {
		if o.Kind != Note {
			n++
		}
	}
	return n
}
