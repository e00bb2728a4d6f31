import { expect } from 'chai'
import type { Keys } from '../../../src/apis/api-command.js'
import { kafkaPixyCommand } from '../../../src/apis/api-commands.js'
import { CLUSTER_KEYS, PROCESS_KEYS } from '../../../src/apis/kafka-pixy/compat/pixy-keys.js'
import { ConfigError } from '../../../src/core/errors.js'
import { checkRows } from '../../support/rows.js'

/** `clusters.default.brokers = ["a:9092"] (f.yaml, proxies.main.kafka.seed_peers)`, in the order in which they are set. */
async function settingsOf(text: string | undefined, flags: object = {}): Promise<string[]> {
  const all = new Map(Object.entries({ ...(text !== undefined && { config: 'f.yaml' }), ...flags }))
  const { settings } = await kafkaPixyCommand.translate({ flags: all, environment: {}, readFile: () => text! })
  return settings.map(({ path, value, origin }) => `${path.join('.')} = ${JSON.stringify(value)} (${origin})`)
}

async function refusalOf(text: string, flags: object = {}): Promise<string> {
  const error = await settingsOf(text, flags).then(
    () => undefined,
    (thrown: Error) => thrown
  )
  expect(error).to.be.instanceOf(ConfigError)
  return error!.message
}

const DEFAULT = '(default of Kafka-Pixy)'
const PIXY = 'apis.kafka-pixy'
const ADDRESSES = [
  'http.port = 0 (castellan kafka-pixy)',
  `${PIXY}.host = "0.0.0.0" ${DEFAULT}`,
  `${PIXY}.port = 19092 ${DEFAULT}`,
  `${PIXY}.grpcHost = "0.0.0.0" ${DEFAULT}`,
  `${PIXY}.grpcPort = 19091 ${DEFAULT}`
]
const BROKERS = `clusters.default.brokers = ["localhost:9092"] ${DEFAULT}`

/** Every key of a cluster that sets something, with the value that becomes of it. */
const keysOfCluster: [path: string, given: unknown, setting: string, value: unknown][] = [
  ['client_id', 'c', 'clientId', 'c'],
  ['kafka.seed_peers', ['a', 'b:1'], 'brokers', ['a:9092', 'b:1']],
  ['kafka.tls', true, 'tls.enabled', true],
  ['kafka.ca_certificate_file', 'ca', 'tls.caFile', 'ca'],
  ['kafka.client_certificate_file', 'cert', 'tls.certFile', 'cert'],
  ['kafka.client_key_file', 'key', 'tls.keyFile', 'key'],
  ['kafka.insecure', true, 'tls.rejectUnauthorized', false],
  ['net.dial_timeout', '4s', 'connectTimeoutMs', 4_000],
  ['net.read_timeout', '5s', 'requestTimeoutMs', 5_000]
]
/** Every key of the first cluster that sets something for the process. */
const keysOfProcess: [path: string, given: unknown, setting: string, value: unknown][] = [
  ['kafka.version', '1.0.0', `${PIXY}.messageHeaders`, true],
  ['producer.max_message_bytes', 5, `${PIXY}.maxMessageBytes`, 5],
  ['producer.compression', 'gzip', 'delivery.compression', 'gzip'],
  ['producer.shutdown_timeout', '6s', 'shutdown.graceMs', 6_000],
  ['producer.partitioner', 'random', `${PIXY}.partitioner`, 'random'],
  ['consumer.disabled', false, `${PIXY}.consumerDisabled`, false],
  ['consumer.ack_timeout', '7s', 'consumer.ackTimeoutMs', 7_000],
  ['consumer.channel_buffer_size', 8, 'consumer.maxWaitingRequests', 8],
  ['consumer.long_polling_timeout', '9s', 'consumer.longPollMs', 9_000],
  ['consumer.max_pending_messages', 10, 'consumer.maxPendingMessages', 10],
  ['consumer.max_retries', -1, 'consumer.maxRetries', -1],
  ['consumer.offsets_commit_interval', '11s', 'consumer.commitIntervalMs', 11_000],
  ['consumer.retry_backoff', '12s', 'consumer.retryBackoffMs', 12_000],
  ['consumer.subscription_timeout', '13s', 'consumer.subscriptionTimeoutMs', 13_000]
]

/** `a.b: 1` as a file has it. */
const nested = (path: string, value: unknown): object =>
  path.split('.').reduceRight((inner: unknown, name) => ({ [name]: inner }), value) as object
const fileWith = (cluster: object, rest: object = {}): string => JSON.stringify({ ...rest, proxies: { main: cluster } })

describe("pixy 1.12: where settings of Kafka-Pixy's file come from", () => {
  it('a setting without any source is said to have its default', async () => {
    expect(await settingsOf(undefined)).to.deep.equal([...ADDRESSES, BROKERS])
    const named = ADDRESSES.map((line, at) =>
      at === 0 ? line : line.replace(DEFAULT, `(f.yaml, ${at < 3 ? 'tcp_addr' : 'grpc_addr'})`)
    )
    expect(await settingsOf('proxies: { default: }')).to.deep.equal([...named, BROKERS])
  })

  it('a setting of a cluster comes from that cluster', () =>
    checkRows(keysOfCluster, async ([path, given, setting, value]) => {
      const text = JSON.stringify({ proxies: { main: {}, two: nested(path, given) } })
      expect(await settingsOf(text)).to.include(
        `clusters.two.${setting} = ${JSON.stringify(value)} (f.yaml, proxies.two.${path})`
      )
      const [, , , , , , brokers, ...rest] = await settingsOf(fileWith(nested(path, given)))
      expect(brokers).to.equal(BROKERS)
      const own = `clusters.default.${setting} = ${JSON.stringify(value)} (f.yaml, proxies.main.${path})`
      expect(rest).to.include(own)
      for (const none of ['', null]) expect(await settingsOf(fileWith(nested(path, none)))).to.have.length(7)
    }))

  it('a setting of the process comes from the first cluster, and from no other one', () =>
    checkRows(keysOfProcess, async ([path, given, setting, value]) => {
      const line = `${setting} = ${JSON.stringify(value)} (f.yaml, proxies.main.${path})`
      expect(await settingsOf(fileWith(nested(path, given)))).to.include(line)
      const text = JSON.stringify({ proxies: { main: {}, two: nested(path, given) } })
      expect((await settingsOf(text)).filter(one => one.startsWith(setting))).to.deep.equal([])
    }))

  it('the tests beside this one know all keys that set something', () => {
    const setting = (keys: Keys) => Object.keys(keys).filter(path => keys[path]!.setting !== undefined)
    expect(setting(CLUSTER_KEYS)).to.have.members(keysOfCluster.map(([path]) => path))
    expect(setting(PROCESS_KEYS)).to.have.members(keysOfProcess.map(([path]) => path))
  })

  it('addresses, certificates, loggers and credentials come from the keys of the file that name them', async () => {
    const sasl = { net: { sasl: { enable: true, user: 'u', password: 'p' } } }
    const [port, ...settings] = await settingsOf(
      fileWith(sasl, {
        tcp_addr: 'a:1',
        unix_addr: '/s',
        grpc_addr: '[::1]:2',
        tls: { certificate_path: 'c', key_path: 'k' },
        logging: [{ name: 'console', severity: 'error' }]
      })
    )
    expect(port).to.equal(ADDRESSES[0])
    expect(settings).to.deep.equal([
      `${PIXY}.host = "a" (f.yaml, tcp_addr)`,
      `${PIXY}.port = 1 (f.yaml, tcp_addr)`,
      `${PIXY}.unixSocket = "/s" (f.yaml, unix_addr)`,
      `${PIXY}.grpcHost = "::1" (f.yaml, grpc_addr)`,
      `${PIXY}.grpcPort = 2 (f.yaml, grpc_addr)`,
      `${PIXY}.defaultCluster = "main" (f.yaml, proxies)`,
      BROKERS,
      'clusters.default.sasl.mechanism = "plain" (f.yaml, proxies.main.net.sasl.enable)',
      'clusters.default.sasl.username = "u" (f.yaml, proxies.main.net.sasl.user)',
      'clusters.default.sasl.password = "p" (f.yaml, proxies.main.net.sasl.password)',
      'http.tls.certFile = "c" (f.yaml, tls.certificate_path)',
      'http.tls.keyFile = "k" (f.yaml, tls.key_path)',
      'log.format = "text" (f.yaml, logging)',
      'log.level = "error" (f.yaml, logging)'
    ])
  })

  it('flags come behind what the file says', async () => {
    const flags = {
      tcpAddr: 'b:3',
      unixAddr: '/t',
      grpcAddr: ':4',
      kafkaPeers: 'x,y:5',
      tls: true,
      insecureTLS: true,
      caCertFile: 'ca',
      clientCertFile: 'cert',
      clientCertKeyFile: 'key',
      pidFile: '/p',
      logging: '[{"name":"json","severity":"debug"}]',
      embedded: true
    }
    const settings = await settingsOf(fileWith({}, { tcp_addr: 'a:1', unix_addr: '/s', grpc_addr: 'a:2' }), flags)
    expect(settings).to.deep.equal([
      ADDRESSES[0],
      'embedded.enabled = true (--embedded)',
      `${PIXY}.host = "b" (--tcpAddr)`,
      `${PIXY}.port = 3 (--tcpAddr)`,
      `${PIXY}.unixSocket = "/t" (--unixAddr)`,
      `${PIXY}.grpcHost = "0.0.0.0" (--grpcAddr)`,
      `${PIXY}.grpcPort = 4 (--grpcAddr)`,
      `${PIXY}.defaultCluster = "main" (f.yaml, proxies)`,
      BROKERS,
      'clusters.default.brokers = ["x:9092","y:5"] (--kafkaPeers)',
      'clusters.default.tls.enabled = true (--tls)',
      'clusters.default.tls.rejectUnauthorized = false (--insecureTLS)',
      'clusters.default.tls.caFile = "ca" (--caCertFile)',
      'clusters.default.tls.certFile = "cert" (--clientCertFile)',
      'clusters.default.tls.keyFile = "key" (--clientCertKeyFile)',
      'service.pidFile = "/p" (--pidFile)',
      'clusters.default.brokers = [] (--embedded)',
      'log.format = "json" (--logging)',
      'log.level = "debug" (--logging)'
    ])
  })
})

const values: [path: string, given: unknown, read: unknown][] = [
  ...['0.10.2.1', 0.1].map((old): [string, unknown, unknown] => ['kafka.version', old, false]),
  ...['0.11.0.0', '0.12', '1.0.0', '10.0'].map((one): [string, unknown, unknown] => ['kafka.version', one, true]),
  ['kafka.seed_peers', ['a', 'b:1', 'c:x', 'd:12b'], ['a:9092', 'b:1', 'c:x:9092', 'd:12b:9092']],
  ['kafka.insecure', 'yes', true]
]
const WRONG_PEERS = 'write a list of HOST:PORT'
const WRONG_DURATION = 'write a duration as 250ms, 15s or 5m'
const wrong: [path: string, given: unknown, problem: string][] = [
  ...['x', '1', '1.x', 'x.1'].map((bad): [string, unknown, string] => [
    'kafka.version',
    bad,
    `bad kafka version, ${bad}`
  ]),
  ...['a:1', [1], ['a', null]].map((bad): [string, unknown, string] => ['kafka.seed_peers', bad, WRONG_PEERS]),
  ...['soon', true, {}, ['5s']].map((bad): [string, unknown, string] => ['net.dial_timeout', bad, WRONG_DURATION])
]

describe("pixy 1.12: values in Kafka-Pixy's file", () => {
  it('each value is read as Kafka-Pixy does', () =>
    checkRows(values, async ([path, given, read]) => {
      const end = ` = ${JSON.stringify(read)} (f.yaml, proxies.main.${path})`
      const settings = await settingsOf(fileWith(nested(path, given)))
      expect(settings.filter(setting => setting.endsWith(end))).to.have.length(1)
    }))

  it('each value that cannot be read is told', () =>
    checkRows(wrong, async ([path, given, problem]) =>
      expect(await refusalOf(fileWith(nested(path, given)))).to.equal(`f.yaml, proxies.main.${path}: ${problem}`)
    ))
})

describe("pixy 1.12: a file of Kafka-Pixy's that cannot be used", () => {
  it('is no YAML: it is said where, without the lines of the file', async () => {
    const refusal = await refusalOf('proxies:\n  main: { net: { sasl: { password: secret } }')
    expect(refusal).to.match(/^f\.yaml: .* at line \d+, column \d+/)
    expect(refusal).not.to.match(/secret|\n/)
    const long = await refusalOf(`a: &${'b'.repeat(900)} *${'c'.repeat(900)}`)
    expect(long.length).to.be.at.most('f.yaml: '.length + 200)
  })

  it('is told all of its problems, one per line', async () => {
    const main = { kafka: { seed_peers: 'a', version: 'x' }, net: { dial_timeout: 5 } }
    const values = [
      'f.yaml, proxies.main.kafka.seed_peers: write a list of HOST:PORT',
      'f.yaml, proxies.main.net.dial_timeout: write a duration as 250ms, 15s or 5m'
    ]
    const version = 'f.yaml, proxies.main.kafka.version: bad kafka version, x'
    expect((await refusalOf(fileWith(main))).split('\n')).to.deep.equal([...values, version])
    const withoutMain = await refusalOf(fileWith(main, { default_cluster: 'gone' }), { logging: '{' })
    expect(withoutMain.split('\n')).to.deep.equal([
      'default_cluster: there is no cluster gone in proxies',
      ...values,
      '--logging: is no valid JSON'
    ])
  })
})

describe("pixy 1.12: Kafka-Pixy's flags", () => {
  it('are those of the original, and --embedded', () => {
    expect(kafkaPixyCommand.name).to.equal('kafka-pixy')
    expect(kafkaPixyCommand.flags.map(({ flags }) => flags.split(' ')[0])).to.have.members([
      '--config',
      '--kafkaPeers',
      '--zookeeperPeers',
      '--tcpAddr',
      '--unixAddr',
      '--grpcAddr',
      '--pidFile',
      '--logging',
      '--tls',
      '--caCertFile',
      '--clientCertFile',
      '--clientCertKeyFile',
      '--insecureTLS',
      '--embedded'
    ])
    const alone = kafkaPixyCommand.flags.filter(({ flags }) => !flags.includes(' ')).map(({ flags }) => flags)
    expect(alone).to.have.members(['--tls', '--insecureTLS', '--embedded'])
  })
})
