import type { ApiCommand } from '../command.js'

/** `castellan kafka-pixy`: Kafka-Pixy's API by its configuration file and flags. */
export const kafkaPixyCommand: ApiCommand = {
  name: 'kafka-pixy',
  summary: "runs Kafka-Pixy's API alone, by its configuration file and flags",
  flags: [
    { flags: '--config <FILE>', description: "Kafka-Pixy's configuration file, in YAML" },
    { flags: '--kafkaPeers <HOST:PORT,…>', description: 'Kafka of the first cluster (default: localhost:9092)' },
    { flags: '--zookeeperPeers <HOST:PORT,…>', description: 'accepted, and not used: groups are kept by Kafka itself' },
    { flags: '--tcpAddr <HOST:PORT>', description: 'where the API listens (default: 0.0.0.0:19092)' },
    { flags: '--unixAddr <PATH>', description: 'unix socket of the API' },
    { flags: '--grpcAddr <HOST:PORT>', description: 'where gRPC listens (default: 0.0.0.0:19091)' },
    { flags: '--pidFile <FILE>', description: 'file for the id of the process' },
    { flags: '--logging <JSON>', description: 'loggers: [{"name": "console", "severity": "info"}]' },
    { flags: '--tls', description: 'speaks TLS to the first cluster' },
    { flags: '--caCertFile <FILE>', description: 'certificate authorities of the first cluster' },
    { flags: '--clientCertFile <FILE>', description: 'certificate to show to the first cluster' },
    { flags: '--clientCertKeyFile <FILE>', description: 'private key of that certificate' },
    { flags: '--insecureTLS', description: 'does not check the certificates of the first cluster' },
    { flags: '--embedded', description: 'the embedded broker, and not kafka.seed_peers' }
  ],
  takesGoFlags: true,
  notes:
    "The file has Kafka-Pixy's keys and defaults. The API is on port 19092, on 127.0.0.1 only, unless clients can\n" +
    'authenticate or --allow-anonymous is given. What has no effect is said at the start. Flags of Kafka-Pixy may have\n' +
    'one dash, and their values a =, as Go takes them: -config=config.yaml',
  examples: [
    'castellan kafka-pixy --config config.yaml --allow-anonymous',
    'castellan kafka-pixy --kafkaPeers kafka-1:9092,kafka-2:9092 --unixAddr /run/kafka-pixy.sock',
    'castellan kafka-pixy --config config.yaml --print-config'
  ],
  translate: async given => (await import('./compat/pixy-file.js')).translateKafkaPixy(given)
}
