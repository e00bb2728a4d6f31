import type { ApiCommand } from './api-command.js'

export const kprfCommand: ApiCommand = {
  name: 'kprf',
  summary: "runs kprf's API alone, by kprf's configuration file",
  flags: [
    { flags: '-c, --config <FILE>', description: "kprf's configuration file, in YAML or JSON" },
    { flags: '-b, --brokers <HOST:PORT,…>', description: 'the Kafka cluster, instead of kafka.brokers' },
    { flags: '--embedded', description: 'the embedded broker instead of kafka.brokers' }
  ],
  notes:
    "The file has kprf's keys and defaults: POST /push on port 4242, /metrics on port 8088, log lines as JSON to\n" +
    'output_file, which is opened again on SIGHUP.',
  examples: [
    'castellan kprf --config config.yaml --allow-anonymous',
    'castellan kprf --config config.yaml --print-config',
    'castellan kprf --config config.json --embedded'
  ],
  translate: async given => (await import('./kprf/compat/kprf-file.js')).translateKprf(given)
}

const arionCommand: ApiCommand = {
  name: 'arion',
  summary: "runs Arion's API alone, by Arion's environment variables",
  flags: [
    { flags: '-p, --port <PORT>', description: "Arion's port (default: ARION_PORT, else 80)" },
    { flags: '--embedded', description: 'the embedded broker instead of KAFKA_BOOTSTRAP' }
  ],
  notes:
    'Variables: ARION_PORT, ARION_IDLE_TIMEOUT, ARION_FSYNC_PUT, ARION_FSYNC_TAKE, ARION_FSYNC_THRESHOLD,\n' +
    'ARION_FSYNC_INTERVAL, ARION_SLAB_SIZE, ARION_QUEUE_PATH, ARION_MAX_MESSAGE_SIZE, ARION_SYNC_TIMEOUT,\n' +
    'KAFKA_BOOTSTRAP, STATSD_HOST and STATSD_PORT, with the defaults of Arion.',
  examples: [
    'castellan arion --allow-anonymous',
    'ARION_PORT=8000 KAFKA_BOOTSTRAP=kafka-1:9092 castellan arion',
    'ARION_QUEUE_PATH=./queue castellan arion --embedded --port 8000'
  ],
  translate: async given => (await import('./arion/environment.js')).translateArion(given)
}

export const kafkaPixyCommand: ApiCommand = {
  name: 'kafka-pixy',
  summary: "runs Kafka-Pixy's API alone, by its configuration file and flags",
  flags: [
    { flags: '--config <FILE>', description: "Kafka-Pixy's configuration file, in YAML" },
    { flags: '--kafkaPeers <HOST:PORT,…>', description: 'Kafka of the first cluster (default: localhost:9092)' },
    { flags: '--zookeeperPeers <HOST:PORT,…>', description: 'accepted, and not used: groups are kept by Kafka itself' },
    {
      flags: '--tcpAddr <HOST:PORT>',
      description: 'where the API listens (default: 0.0.0.0:19092; none if only gRPC has an address)'
    },
    { flags: '--unixAddr <PATH>', description: 'unix socket of the API' },
    { flags: '--grpcAddr <HOST:PORT>', description: 'where gRPC listens (default: 0.0.0.0:19091)' },
    { flags: '--pidFile <FILE>', description: 'file for the id of the process' },
    { flags: '--logging <JSON>', description: 'loggers: [{"name": "console", "severity": "info"}]' },
    { flags: '--tls', description: 'speaks TLS to the first cluster' },
    { flags: '--caCertFile <FILE>', description: 'certificate authorities of the first cluster' },
    { flags: '--clientCertFile <FILE>', description: 'certificate to show to the first cluster' },
    { flags: '--clientCertKeyFile <FILE>', description: 'private key of that certificate' },
    { flags: '--insecureTLS', description: 'does not check the certificates of the first cluster' },
    { flags: '--embedded', description: 'the embedded broker instead of kafka.seed_peers' }
  ],
  takesGoFlags: true,
  notes:
    "The file has Kafka-Pixy's keys and defaults. The API is on port 19092. Keys without effect are logged at the\n" +
    'start. Flags of Kafka-Pixy may have one dash, and a = before their value, as Go takes them: -config=config.yaml',
  examples: [
    'castellan kafka-pixy --config config.yaml --allow-anonymous',
    'castellan kafka-pixy --kafkaPeers kafka-1:9092,kafka-2:9092 --unixAddr /run/kafka-pixy.sock',
    'castellan kafka-pixy --config config.yaml --print-config'
  ],
  translate: async given => (await import('./kafka-pixy/compat/pixy-file.js')).translateKafkaPixy(given)
}

export const kafboyCommand: ApiCommand = {
  name: 'kafboy',
  summary: "runs kafboy's API alone, by the configuration file of kafboy and ekaf",
  flags: [
    { flags: '-c, --config <FILE>', description: 'Erlang configuration with sections kafboy and ekaf (default: none)' },
    { flags: '-p, --port <PORT>', description: "kafboy's port (default: kafboy_http_port, else 8000)" },
    { flags: '--embedded', description: 'the embedded broker instead of ekaf_bootstrap_broker' }
  ],
  notes:
    'The file is one that erl takes with -config: [{kafboy, […]}, {ekaf, […]}]. Missing keys have the defaults of both.\n' +
    'Callbacks are modules of JavaScript: --set apis.kafboy.callbackEditJson=hooks.js. Keys without effect are logged at\n' +
    'the start.',
  examples: [
    'castellan kafboy --config sys.config --allow-anonymous',
    'castellan kafboy --port 8001 --brokers kafka-1:9092,kafka-2:9092',
    'castellan kafboy --config sys.config --print-config'
  ],
  translate: async given => (await import('./kafboy/compat/sys-config.js')).translateKafboy(given)
}

export const confluentCommand: ApiCommand = {
  name: 'confluent',
  summary: "runs Confluent's API alone, by the REST Proxy's kafka-rest.properties",
  flags: [
    { flags: '-c, --config <FILE>', description: 'kafka-rest.properties (default: none)' },
    { flags: '-p, --port <PORT>', description: 'port of the API (default: that of listeners, else 8082)' },
    { flags: '--embedded', description: 'the embedded broker instead of bootstrap.servers' }
  ],
  notes:
    'Variables such as KAFKA_REST_BOOTSTRAP_SERVERS count as keys; the file wins over them. Without bootstrap.servers,\n' +
    'Kafka is at localhost:9092. Keys without effect are logged at the start.',
  examples: [
    'castellan confluent --config kafka-rest.properties --allow-anonymous',
    'castellan confluent --port 8082 --brokers kafka-1:9092,kafka-2:9092',
    'castellan confluent --embedded'
  ],
  translate: async given => (await import('./confluent/compat/rest-properties.js')).translateConfluent(given)
}

export const strimziCommand: ApiCommand = {
  name: 'strimzi',
  summary: "runs the API of Strimzi's Kafka Bridge alone, by its application.properties",
  flags: [
    { flags: '-c, --config-file <FILE>', description: 'application.properties (default: none)' },
    { flags: '-p, --port <PORT>', description: 'port of the API (default: that of the file)' },
    { flags: '--embedded', description: 'the embedded broker instead of kafka.bootstrap.servers' }
  ],
  notes: 'Without kafka.bootstrap.servers, Kafka is at localhost:9092. Keys without effect are logged at the start.',
  examples: [
    'castellan strimzi --config-file application.properties --allow-anonymous',
    'castellan strimzi --port 8080 --brokers kafka-1:9092,kafka-2:9092',
    'castellan strimzi --embedded'
  ],
  translate: async given => (await import('./strimzi/compat/application-properties.js')).translateStrimzi(given)
}

/**
 * The commands of APIs. The list is separate from the list of APIs, so `castellan --help` need not load them;
 * `translate` loads what it needs.
 */
export const apiCommands: readonly ApiCommand[] = [
  kprfCommand,
  arionCommand,
  kafkaPixyCommand,
  kafboyCommand,
  confluentCommand,
  strimziCommand
]
