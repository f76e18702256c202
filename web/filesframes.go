package web

import "time"

// FilesRequest is the first line of the body of POST /v1/files. It says all that goes on record; the steps that follow
// it are FilesStep, one a line, and can name no other place and no other command.
type FilesRequest struct {
	Command   string              `json:"command" enum:"upload,sync,fetch"`
	Hosts     []ExecHost          `json:"hosts"`
	Root      string              `json:"root,omitempty"`    // where files go, and where the tool runs
	Entries   int                 `json:"entries,omitempty"` // how many files, directories and links the tree has, for the record
	DryRun    bool                `json:"dry_run,omitempty"` // of upload: hosts are asked only
	Tool      string              `json:"tool,omitempty"`    // of sync: a command line
	Paths     []string            `json:"paths,omitempty"`   // of fetch, on every host
	Of        map[string][]string `json:"of,omitempty"`      // instead of Paths: by the host's name
	Sudo      bool                `json:"sudo,omitempty"`
	Skip      bool                `json:"skip,omitempty"`
	Dials     int                 `json:"dials,omitempty"`
	KeepAlive time.Duration       `json:"keep_alive,omitempty"`
	Answer    time.Duration       `json:"answer,omitempty"`
	Timeout   time.Duration       `json:"timeout,omitempty"` // of the tool
	Stall     time.Duration       `json:"stall,omitempty"`
	Lock      bool                `json:"lock,omitempty"`
	LockFile  string              `json:"lock_file,omitempty"`
	LockDir   string              `json:"lock_dir,omitempty"`
	MakeDir   bool                `json:"make_dir,omitempty"`
	MayLock   bool                `json:"may_lock,omitempty"`
}

// FilesStep is one line after the first. The field that is set says what is to be done, or what follows.
type FilesStep struct {
	Ask    *FilesAsk    `json:"ask,omitempty"`
	Unpack *FilesUnpack `json:"unpack,omitempty"`
	Pack   *FilesPack   `json:"pack,omitempty"`
	Has    bool         `json:"has,omitempty"` // who has the directory Root?
	Run    *FilesRun    `json:"run,omitempty"`

	Bytes int64  `json:"bytes,omitempty"` // so many follow, as they are, of the step's stream
	End   bool   `json:"end,omitempty"`   // of the step's stream
	Broke string `json:"broke,omitempty"` // with End: it is not whole, and why
	Drop  *int   `json:"drop,omitempty"`  // nobody takes what this host sends
	Bye   bool   `json:"bye,omitempty"`   // all is done
}

// FilesAsk is a fleet.Question; the names follow.
type FilesAsk struct {
	Owned string   `json:"owned"`
	Plain string   `json:"plain"`
	Tops  []string `json:"tops,omitempty"`
}

// FilesUnpack is a fleet.Unpacking; the stream follows.
type FilesUnpack struct {
	How    string `json:"how"`
	Within string `json:"within,omitempty"`
	GNU    string `json:"gnu,omitempty"`
	Hosts  []bool `json:"hosts"`
}

// FilesPack has hosts send what the first line named.
type FilesPack struct {
	Hosts []bool `json:"hosts"`
}

// FilesRun runs the tool; its stdin follows if Stdin says so.
type FilesRun struct {
	Together bool `json:"together,omitempty"` // by the sync protocol
	Stdin    bool `json:"stdin,omitempty"`
	Serial   bool `json:"serial,omitempty"`
	Raw      bool `json:"raw,omitempty"`
}

// FilesFrame is one line of the answer. The field that is set says what it is about.
type FilesFrame struct {
	Hosts   []string    `json:"hosts,omitempty"` // first: whom later frames mean by their index
	Near    bool        `json:"near,omitempty"`  // with Hosts: one of them is on the server's machine
	Lost    *ExecResult `json:"lost,omitempty"`  // not reached; the others go on
	Note    string      `json:"note,omitempty"`
	Data    *FilesData  `json:"data,omitempty"`
	Line    *ExecLine   `json:"line,omitempty"`
	Result  *ExecResult `json:"result,omitempty"` // of the tool, or of Has
	Ended   *FilesEnded `json:"ended,omitempty"`  // the step, on a host
	Done    bool        `json:"done,omitempty"`   // the step, everywhere
	Error   string      `json:"error,omitempty"`  // last: nothing was done, or everything was stopped
	Stop    bool        `json:"stop,omitempty"`   // with Error: the lock was lost
	Unknown bool        `json:"unknown,omitempty"`
	Locked  bool        `json:"locked,omitempty"`  // with Error, because somebody else holds the lock
	Reached bool        `json:"reached,omitempty"` // with Error: the server could reach the hosts
	End     bool        `json:"end,omitempty"`     // last, when all went its way
}

// FilesData says that so many bytes of a host follow, as they are.
type FilesData struct {
	Host  int `json:"host"`
	Bytes int `json:"bytes"`
}

// FilesEnded is how a step ended on a host.
type FilesEnded struct {
	Host   int    `json:"host"`
	Error  string `json:"error,omitempty"`
	Exit   int    `json:"exit,omitempty"`
	Signal string `json:"signal,omitempty"`
	Stderr string `json:"stderr,omitempty"`
}
