package config

import "time"

// Config has every setting of `ottla serve`. The yaml tags are the keys of
// config.yaml, which explains them; a test compares the two.
type Config struct {
	Listen           string   `yaml:"listen"`              // HOST:PORT
	AdvertisedHost   string   `yaml:"advertised_host"`     // empty: the host of Listen
	DataDir          string   `yaml:"data_dir"`            // created when it is missing
	DefaultCluster   string   `yaml:"default_cluster"`     // empty: none is created
	AutoCreateTopics bool     `yaml:"auto_create_topics"`  // on produce
	AutoCreateOnRead bool     `yaml:"auto_create_on_read"` // on a poll that does not say, where auto_create_topics is on
	RequestTimeout   Duration `yaml:"request_timeout"`     // until a produce request is answered
	ShutdownTimeout  Duration `yaml:"shutdown_timeout"`    // until a clean shutdown is given up
	PprofListen      string   `yaml:"pprof_listen"`        // HOST:PORT; empty: off

	Auth     Auth     `yaml:"auth"`
	Audit    Audit    `yaml:"audit"`
	TLS      TLS      `yaml:"tls"`
	Node     Node     `yaml:"node"`
	Kafka    Kafka    `yaml:"kafka"`
	Log      Log      `yaml:"log"`
	HTTP     HTTP     `yaml:"http"`
	CORS     CORS     `yaml:"cors"`
	Limits   Limits   `yaml:"limits"`
	Polls    Polls    `yaml:"polls"`
	Webhooks Webhooks `yaml:"webhooks"`
	Quotas   Quotas   `yaml:"quotas"`
	Storage  Storage  `yaml:"storage"`
	Raft     Raft     `yaml:"raft"`
	Internal Internal `yaml:"internal_topics"`
}

// Auth says who may ask.
type Auth struct {
	Mode           string `yaml:"mode"`             // off: nobody is asked; token
	AdminTokenFile string `yaml:"admin_token_file"` // of a token that may do everything; empty: OTTLA_ADMIN_TOKEN, else none
	JWT            JWT    `yaml:"jwt"`              // JSON web tokens
	Insecure       bool   `yaml:"insecure"`         // serve other machines without knowing who asks
}

// JWT says whose JSON web tokens are valid, and what they allow.
type JWT struct {
	Issuer   string `yaml:"issuer"`    // of the tokens; empty: no JSON web token is valid
	Audience string `yaml:"audience"`  // of the tokens
	KeysFile string `yaml:"jwks_file"` // of the issuer, as a JWKS; this or
	KeysURL  string `yaml:"jwks_url"`  // where they are
	Claim    string `yaml:"claim"`     // that has what the token allows
}

// Audit says where changes are noted.
type Audit struct {
	File string `yaml:"file"` // empty: nowhere; "-": standard error
}

// TLS names the files, in PEM, with which the API is served over TLS. They are read
// again when they change.
type TLS struct {
	Cert       string `yaml:"cert"`        // of the server, with intermediate ones; empty: no TLS
	Key        string `yaml:"key"`         // of that certificate
	ClientCA   string `yaml:"client_ca"`   // roots of clients' certificates; empty: clients need none
	MinVersion string `yaml:"min_version"` // 1.2 or 1.3
}

// How the level of a fleet is raised: by itself once all nodes offer more, or when
// somebody asks for it.
const (
	FinalizeAuto   = "auto"
	FinalizeManual = "manual"
)

// Node says how the process takes part in a fleet of several nodes.
type Node struct {
	Link          string `yaml:"link"`           // HOST:PORT for other nodes; empty: it is alone
	AdvertiseLink string `yaml:"advertise_link"` // HOST:PORT where they reach it; empty: link
	Seeds         List   `yaml:"seeds"`          // HOST:PORT of nodes to found a fleet with, or to join one by
	Name          string `yaml:"name"`           // unique in the fleet; empty: the host's name
	Rack          string `yaml:"rack"`           // replicas are spread over racks
	LinkCert      string `yaml:"link_cert"`      // file in PEM, for the node's name; empty: no TLS between nodes
	LinkKey       string `yaml:"link_key"`       // file of its key
	LinkCA        string `yaml:"link_ca"`        // file of the authority that has signed the certificates of all nodes
	Finalize      string `yaml:"finalize"`       // FinalizeAuto or FinalizeManual: how the fleet's level is raised after an upgrade
	LinkInsecure  bool   `yaml:"insecure"`       // without TLS, talk to nodes on other machines all the same

	MaxClockOffset Duration `yaml:"max_clock_offset"` // by which the clocks of nodes may differ
}

// Kafka says where Kafka's clients are served.
type Kafka struct {
	Listen         string `yaml:"listen"`          // HOST:PORT of the first broker; empty: nowhere
	AdvertisedHost string `yaml:"advertised_host"` // empty: the host of Listen
	Cluster        string `yaml:"cluster"`         // whose topics they see
	Compression    string `yaml:"compression"`     // of the records that they get: none, gzip, lz4 or zstd
}

// Log says what is logged to standard error and how.
type Log struct {
	Level    string `yaml:"level"`    // debug, info, warn or error
	Levels   Levels `yaml:"levels"`   // of single packages, where they differ
	Format   string `yaml:"format"`   // auto, text or json
	Requests bool   `yaml:"requests"` // one line for each request
}

// HTTP holds the names of the server and the timeouts of connections.
type HTTP struct {
	Hosts        List     `yaml:"hosts"`         // further names in Host; "*": any
	ReadTimeout  Duration `yaml:"read_timeout"`  // for one whole request to arrive
	WriteTimeout Duration `yaml:"write_timeout"` // for one whole response to be taken
	StallTimeout Duration `yaml:"stall_timeout"` // of a response that does not move, while memory is scarce
	IdleTimeout  Duration `yaml:"idle_timeout"`  // between two requests of a connection
}

// CORS says which pages of other origins may ask.
type CORS struct {
	Origins List `yaml:"origins"` // such as https://app.example; "*": any
}

// Limits bounds what clients can use.
type Limits struct {
	BodyBytes      Bytes    `yaml:"body_bytes"`              // of a request body, also after decompression
	RecordBytes    Bytes    `yaml:"record_bytes"`            // of a record's key, value and headers
	HeaderBytes    Bytes    `yaml:"header_bytes"`            // of a request's headers
	BatchRecords   int      `yaml:"batch_records"`           // records in one produce request
	JSONDepth      int      `yaml:"json_depth"`              // levels of arrays and objects in a key or value
	NumberDigits   int      `yaml:"number_digits"`           // digits of a number in a key or value
	Headers        int      `yaml:"headers"`                 // headers of a record
	HeaderName     Bytes    `yaml:"header_name"`             // of the name of a record's header
	MaxRecords     int      `yaml:"max_records"`             // highest max_records of a read
	MaxBytes       Bytes    `yaml:"max_bytes"`               // highest max_bytes of a read
	PollTimeout    Duration `yaml:"poll_timeout"`            // highest timeout_ms of a read
	SessionTimeout Duration `yaml:"session_timeout"`         // highest session_timeout_ms of a consumer
	InflightBytes  Bytes    `yaml:"inflight_bytes"`          // request bodies in memory at once
	ResponseBytes  Bytes    `yaml:"response_bytes"`          // answers in memory at once
	ClientBytes    Bytes    `yaml:"client_response_bytes"`   // of response_bytes, those of one client; 0: half
	ParkedPolls    int      `yaml:"parked_polls"`            // reads that wait at once
	Connections    int      `yaml:"connections"`             // open client connections
	Tokens         int      `yaml:"tokens"`                  // that the API may create
	Sources        int      `yaml:"sources"`                 // of webhooks, that the API may create
	Subscriptions  int      `yaml:"subscriptions"`           // likewise
	Partitions     int      `yaml:"partitions"`              // replicas that the node carries; 0: what descriptors and memory carry
	AutoCreates    int      `yaml:"auto_creates_per_minute"` // topics that are created automatically
	Groups         int      `yaml:"groups"`                  // of all clusters
	Keys           int      `yaml:"idempotency_keys"`        // that the node's replicas remember together
}

// Quotas bound what clients use of this process.
type Quotas struct {
	Anonymous Quota `yaml:"anonymous"` // of each address, what comes without a token
}

// Quota bounds what one client uses; 0: no bound.
type Quota struct {
	ProduceBytes Bytes `yaml:"produce_bytes_per_s"`
	FetchBytes   Bytes `yaml:"fetch_bytes_per_s"`
	RequestRate  int   `yaml:"requests_per_s"`
	Connections  int   `yaml:"connections"`
}

// Webhooks says where deliveries of subscriptions may go.
type Webhooks struct {
	Allow List `yaml:"allow"` // addresses, networks and host names, besides public addresses
}

// Polls holds the defaults of reads that do not set a parameter.
type Polls struct {
	Timeout        Duration `yaml:"timeout"`
	MaxRecords     int      `yaml:"max_records"`
	MaxBytes       Bytes    `yaml:"max_bytes"`
	SessionTimeout Duration `yaml:"session_timeout"` // lease of a consumer
}

// Storage has the settings of log files.
type Storage struct {
	SegmentBytes           Bytes    `yaml:"segment_bytes"`             // at which a log file is rolled
	BatchBytes             Bytes    `yaml:"batch_bytes"`               // most that group commit puts into one raft entry
	RetentionCheckInterval Duration `yaml:"retention_check_interval"`  // how often to look for segments to delete
	SyncInterval           Duration `yaml:"sync_interval"`             // for clusters with fsync "interval"
	ScrubInterval          Duration `yaml:"scrub_interval"`            // in which every closed log file is verified once; 0s: never
	ScrubBytesPerSecond    Bytes    `yaml:"scrub_bytes_per_second"`    // most that the scrub reads
	CatchUpBytesPerSecond  Bytes    `yaml:"catch_up_bytes_per_second"` // most that is read for replicas that are far behind; 0: any number
	ClockJump              Duration `yaml:"clock_jump"`                // of the system's clock, that is believed only once it has lasted as long
}

// Raft has the timing of elections.
type Raft struct {
	TickInterval   Duration `yaml:"tick_interval"`
	ElectionTicks  int      `yaml:"election_ticks"`
	HeartbeatTicks int      `yaml:"heartbeat_ticks"`
}

// Internal has the settings of internal topics.
type Internal struct {
	OffsetsPartitions int      `yaml:"offsets_partitions"` // of __consumer_offsets, in a new cluster; 0: 1, or 3 with brokers at several nodes
	OffsetsRetention  Duration `yaml:"offsets_retention"`  // of groups without members and commits
}

// Default returns the default settings. The config.yaml in the repository has the
// same values.
func Default() *Config {
	return &Config{
		Listen:           "127.0.0.1:8080",
		DataDir:          "./data",
		DefaultCluster:   "default",
		AutoCreateTopics: true,
		RequestTimeout:   Duration(10 * time.Second),
		ShutdownTimeout:  Duration(30 * time.Second),
		Auth:             Auth{Mode: "off", JWT: JWT{Claim: "ottla"}},
		TLS:              TLS{MinVersion: "1.2"},
		Node:             Node{Finalize: FinalizeAuto, MaxClockOffset: Duration(time.Second)},
		Kafka:            Kafka{Cluster: "default", Compression: "none"},
		Log:              Log{Level: "info", Format: "auto"},
		HTTP: HTTP{
			ReadTimeout:  Duration(30 * time.Second),
			WriteTimeout: Duration(30 * time.Second),
			StallTimeout: Duration(10 * time.Second),
			IdleTimeout:  Duration(2 * time.Minute),
		},
		Limits: Limits{
			BodyBytes:      16 * MiB,
			RecordBytes:    1 * MiB,
			HeaderBytes:    32 * KiB,
			BatchRecords:   10_000,
			JSONDepth:      128,
			NumberDigits:   1000,
			Headers:        100,
			HeaderName:     256,
			MaxRecords:     10_000,
			MaxBytes:       16 * MiB,
			PollTimeout:    Duration(30 * time.Second),
			SessionTimeout: Duration(5 * time.Minute),
			InflightBytes:  256 * MiB,
			ResponseBytes:  128 * MiB,
			ParkedPolls:    10_000,
			Connections:    20_000,
			Tokens:         1000,
			Sources:        1000,
			Subscriptions:  1000,
			AutoCreates:    600,
			Groups:         100_000,
			Keys:           6_000_000,
		},
		Polls: Polls{
			Timeout:        Duration(5 * time.Second),
			MaxRecords:     500,
			MaxBytes:       1 * MiB,
			SessionTimeout: Duration(10 * time.Second),
		},
		Storage: Storage{
			SegmentBytes:           128 * MiB,
			BatchBytes:             1 * MiB,
			RetentionCheckInterval: Duration(30 * time.Second),
			SyncInterval:           Duration(time.Second),
			ScrubInterval:          Duration(7 * 24 * time.Hour),
			ScrubBytesPerSecond:    8 * MiB,
			CatchUpBytesPerSecond:  64 * MiB,
			ClockJump:              Duration(10 * time.Minute),
		},
		Raft:     Raft{TickInterval: Duration(100 * time.Millisecond), ElectionTicks: 10, HeartbeatTicks: 1},
		Internal: Internal{OffsetsRetention: Duration(7 * 24 * time.Hour)},
	}
}
