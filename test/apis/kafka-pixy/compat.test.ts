import { expect } from 'chai'
import { kafkaPixyCommand } from '../../../src/apis/api-commands.js'
import { ConfigError } from '../../../src/core/errors.js'
import { translateConfig } from '../../../src/server/config/config.js'

async function load(text: string | undefined, flags: object = {}, environment = {}) {
  const all = new Map(Object.entries({ ...(text !== undefined && { config: 'pixy.yaml' }), ...flags }))
  const given = { flags: all, environment, readFile: () => text ?? '' }
  const translation = await kafkaPixyCommand.translate(given)
  const { config, notes } = translateConfig({}, translation, 'kafka-pixy')
  return { config, pixy: config.apis['kafka-pixy'], notes }
}

const refusal = async (text: string, flags?: object): Promise<string> => {
  const error = await load(text, flags).then(
    () => undefined,
    (thrown: Error) => thrown
  )
  expect(error).to.be.instanceOf(ConfigError)
  return error!.message
}

describe("pixy: Kafka-Pixy's configuration", () => {
  it('pixy Y2: what is not named keeps its default, and listens on loopback without authentication', async () => {
    const { config, pixy, notes } = await load('proxies: { default: {} }')
    expect([pixy.grpcHost, pixy.grpcPort]).to.deep.equal(['127.0.0.1', 19_091])
    expect(config.clusters.default!.brokers).to.deep.equal(['localhost:9092'])
    expect(pixy).to.deep.include({ host: '127.0.0.1', port: 19_092, maxMessageBytes: 1_000_000, partitioner: 'hash' })
    expect(config.consumer).to.deep.include({ longPollMs: 3_000, ackTimeoutMs: 300_000, maxWaitingRequests: 64 })
    expect(config.apis.kprf.enabled).to.equal(false)
    expect(notes.join()).to.include('127.0.0.1')
    expect((await load(undefined)).pixy.port).to.equal(19_092)
  })

  it('pixy Y1: a file without clusters is refused', async () => {
    const none = 'pixy.yaml: invalid config parameter: at least on proxy must be configured'
    for (const text of ['', 'proxies:', 'proxies: {}', 'proxies: []', 'proxies: a', '[]', 'a', '{}', 'tcp_addr: 1:2']) {
      expect(await refusal(text), text).to.equal(none)
    }
  })

  it('names each key that Kafka-Pixy does not know, and the one that was probably meant', async () => {
    const text = [
      'tcp_adr: 127.0.0.1:1',
      'tls: { certificate: c.pem }',
      'logging: [{ name: console, severity: info }]',
      'proxies:',
      '  main: { cliend_id: a, kafka: { seed_peers: [a], sasl: {} }, consumer: { offsets_comit_interval: 1s } }',
      '  two: { net: { sasl: { enable: false, pasword: p } }, client_id: b, __proto__x: 1 }'
    ].join('\n')
    const { notes } = await load(text)
    expect(notes.filter(note => note.includes('is no setting of Kafka-Pixy'))).to.deep.equal([
      'tcp_adr is no setting of Kafka-Pixy and is ignored; did you mean tcp_addr?',
      'tls.certificate is no setting of Kafka-Pixy and is ignored; did you mean certificate_path?',
      'proxies.main.cliend_id is no setting of Kafka-Pixy and is ignored; did you mean client_id?',
      'proxies.main.kafka.sasl is no setting of Kafka-Pixy and is ignored',
      'proxies.main.consumer.offsets_comit_interval is no setting of Kafka-Pixy and is ignored; did you mean offsets_commit_interval?',
      'proxies.two.net.sasl.pasword is no setting of Kafka-Pixy and is ignored; did you mean password?',
      'proxies.two.__proto__x is no setting of Kafka-Pixy and is ignored'
    ])
  })

  it('pixy Y4: the first cluster is the default one, unless another one is named', async () => {
    const two = 'proxies: { One_1: { kafka: { seed_peers: ["a:1"] } }, two: { kafka: { seed_peers: ["b:2", c] } } }'
    const first = await load(two)
    expect(first.pixy.defaultCluster).to.equal('One_1')
    expect(first.config.clusters.default!.brokers).to.deep.equal(['a:1'])
    expect(first.config.clusters.two!.brokers).to.deep.equal(['b:2', 'c:9092'])
    expect(await refusal(`default_cluster: two\n${two}`)).to.include('clusters.One_1')
    expect(await refusal(`default_cluster: three\n${two}`)).to.include('no cluster three')
  })

  it('pixy Y6 Y7 Y8: addresses and certificates of the file are those of the gateway', async () => {
    const text =
      'tcp_addr: 127.0.0.1:1\nunix_addr: /tmp/pixy.sock\ntls: { certificate_path: c.pem, key_path: k.pem }\n' +
      'proxies: { main: { kafka: { tls: true, ca_certificate_file: ca.pem, client_certificate_file: a, client_key_file: b, insecure: true } } }'
    const given = { flags: new Map([['config', 'f']]), environment: {}, readFile: () => text }
    const { settings } = await kafkaPixyCommand.translate(given)
    const byPath = Object.fromEntries(settings.map(({ path, value }) => [path.join('.'), value]))
    expect(byPath).to.deep.include({
      'apis.kafka-pixy.host': '127.0.0.1',
      'apis.kafka-pixy.port': 1,
      'apis.kafka-pixy.unixSocket': '/tmp/pixy.sock',
      'http.tls.certFile': 'c.pem',
      'http.tls.keyFile': 'k.pem',
      'clusters.default.tls.enabled': true,
      'clusters.default.tls.caFile': 'ca.pem',
      'clusters.default.tls.certFile': 'a',
      'clusters.default.tls.keyFile': 'b',
      'clusters.default.tls.rejectUnauthorized': false
    })
  })

  it('pixy Y5: a file with every default of the original sets what a file without any of them sets', async () => {
    const written = await load(`
grpc_addr: 0.0.0.0:19091
tcp_addr: 0.0.0.0:19092
proxies:
  default:
    kafka: { seed_peers: ["localhost:9092"], tls: false, insecure: false }
    net: { dial_timeout: 30s, read_timeout: 30s, write_timeout: 30s, sasl: { enable: false, handshake: false, user: "", password: "" } }
    zoo_keeper: { seed_peers: ["localhost:2181"], chroot: "", session_timeout: 15s }
    producer: { channel_buffer_size: 4096, max_message_bytes: 1000000, flush_bytes: 1048576, flush_frequency: 500ms, retry_backoff: 10s, retry_max: 6, required_acks: wait_for_all, partitioner: hash, timeout: 10s }
    consumer: { disabled: false, ack_timeout: 5m, channel_buffer_size: 64, fetch_max_bytes: 1048576, fetch_max_wait: 250ms, long_polling_timeout: 3s, max_pending_messages: 300, max_retries: -1, offsets_commit_interval: 500ms, retry_backoff: 500ms, subscription_timeout: 15s }
`)
    const silent = await load('proxies: { default: {} }')
    expect(written.pixy).to.deep.equal(silent.pixy)
    expect(written.config.consumer).to.deep.equal(silent.config.consumer)
    const { connectTimeoutMs: _, requestTimeoutMs: __, ...cluster } = written.config.clusters.default!
    const { connectTimeoutMs: ___, requestTimeoutMs: ____, ...expected } = silent.config.clusters.default!
    expect(cluster).to.deep.equal(expected)
  })

  it('pixy Y9: a client of Nomad is named by its allocation, unless it has a name', async () => {
    const nomad = { NOMAD_ALLOC_ID: '5fc98185-17ff-26bc-a802-0c74fa471c99', NOMAD_ALLOC_INDEX: '3' }
    const clientIdOf = async (text: string, environment: object) =>
      (await load(text, {}, environment)).config.clusters.default!.clientId
    expect(await clientIdOf('proxies: { default: {} }', nomad)).to.equal('kp_nomad_5fc98185_3')
    const { NOMAD_ALLOC_ID } = nomad
    expect(await clientIdOf('proxies: { default: {} }', { NOMAD_ALLOC_ID })).to.equal('kp_nomad_5fc98185')
    expect(await clientIdOf('proxies: { default: { client_id: own } }', nomad)).to.equal('own')
    expect(await clientIdOf('proxies: { default: {} }', {})).to.equal('castellan')
  })

  it('time limits of 0 are taken: there is none in Kafka-Pixy, and the default here', async () => {
    const { config, notes } = await load(
      'proxies: { main: { net: { dial_timeout: 0s, read_timeout: 0 }, producer: { shutdown_timeout: 0 } } }'
    )
    expect(config.clusters.default).to.deep.include({ connectTimeoutMs: 3_000, requestTimeoutMs: 10_000 })
    expect(config.shutdown.graceMs, 'time to leave groups').to.equal(1_000)
    expect(notes.filter(note => note.startsWith('pixy.yaml, '))).to.deep.equal([
      'pixy.yaml, proxies.main.net.dial_timeout: 0 is no time limit in Kafka-Pixy; here clusters.<name>.connectTimeoutMs (3 s) stays',
      'pixy.yaml, proxies.main.net.read_timeout: 0 is no time limit in Kafka-Pixy; here clusters.<name>.requestTimeoutMs (10 s) stays',
      'pixy.yaml, proxies.main.producer.shutdown_timeout: a stop may take 1000 ms: groups are left and offsets committed in it'
    ])
    expect(await refusal('proxies: { main: { producer: { shutdown_timeout: -1s } } }')).to.include('shutdown.graceMs')
    expect(await refusal('proxies: { main: { consumer: { ack_timeout: 0s } } }')).to.include('ackTimeoutMs')
  })

  it('says of each key without effect why it has none, once', async () => {
    const file = `
proxies:
  main:
    net: { write_timeout: 1s, sasl: { enable: true, handshake: true, user: u, password: p } }
    zoo_keeper: { seed_peers: [z], chroot: /a, session_timeout: 15s }
    producer: { channel_buffer_size: 1, flush_bytes: 1, flush_frequency: 1s, retry_backoff: 1s, retry_max: 1, required_acks: all, timeout: 10s }
    consumer: { fetch_max_bytes: 1, fetch_max_wait: 1s, rebalance_delay: 1s }
  other: { zoo_keeper: { chroot: /b } }
`
    const { notes } = await load(file, { zookeeperPeers: 'z' })
    const zooKeeper = 'groups are kept by Kafka itself; ZooKeeper is not asked'
    const retries = 'messages are tried until their time is over (apis.kafka-pixy.syncTimeoutMs, delivery.timeoutMs)'
    expect(notes.filter(note => note.includes(' has no effect: '))).to.have.members(
      [
        ['--zookeeperPeers', 'groups are kept by Kafka itself'],
        ['net.write_timeout', 'net.read_timeout limits a whole call'],
        ['net.sasl.handshake', 'the handshake is always made'],
        ['zoo_keeper.seed_peers', zooKeeper],
        ['zoo_keeper.chroot', zooKeeper],
        ['zoo_keeper.session_timeout', zooKeeper],
        ['producer.channel_buffer_size', 'the buffer is bounded in bytes: delivery.maxBytes'],
        ['producer.flush_bytes', 'messages are sent as soon as their broker is free'],
        ['producer.flush_frequency', 'messages are sent as soon as their broker is free'],
        ['producer.retry_backoff', retries],
        ['producer.retry_max', retries],
        ['producer.required_acks', 'all in-sync replicas acknowledge a message'],
        ['producer.timeout', 'clusters.default.requestTimeoutMs limits a call'],
        ['consumer.fetch_max_bytes', 'readers share their fetches: advanced.router.fetchMaxBytes'],
        ['consumer.fetch_max_wait', 'readers share their fetches: advanced.router.fetchMaxWaitMs'],
        ['consumer.rebalance_delay', 'the coordinator decides when members have to join again']
      ].map(([key, why]) => `${key} has no effect: ${why}`)
    )
  })

  it('says of each value of another cluster that is not that of all clusters why it has no effect', async () => {
    const { notes } = await load(`
default_cluster: main
proxies:
  two:
    client_id: other
    kafka: { version: 1.0.0 }
    producer: { compression: gzip, max_message_bytes: 7, flush_bytes: 1 }
    consumer: { ack_timeout: 1m, max_retries: 3 }
  main:
    client_id: own
    kafka: { version: 1.0.0 }
    producer: { max_message_bytes: 5 }
    consumer: { ack_timeout: 1m }
`)
    expect(notes.filter(note => note.startsWith('proxies.two.'))).to.have.members([
      'proxies.two.producer.compression has no effect: delivery.compression is that of all clusters',
      'proxies.two.producer.max_message_bytes has no effect: apis.kafka-pixy.maxMessageBytes is that of all clusters',
      'proxies.two.consumer.max_retries has no effect: consumer.maxRetries is that of all clusters'
    ])
    expect(notes.filter(note => note.startsWith('proxies.main.'))).to.deep.equal([])
  })

  /** The settings of a file and flags, before anybody checks them. */
  const settingsOf = async (text: string, flags: object = {}): Promise<Record<string, unknown>> => {
    const all = new Map(Object.entries({ config: 'f', ...flags }))
    const { settings } = await kafkaPixyCommand.translate({ flags: all, environment: {}, readFile: () => text })
    return Object.fromEntries(settings.map(({ path, value }) => [path.join('.'), value]))
  }
  const MAIN = 'proxies: { main: {} }'

  it('addresses have a host and a port, or are paths; all addresses of the machine are meant by no host', async () => {
    const pixy = 'apis.kafka-pixy'
    const addressed = await settingsOf(`tcp_addr: ":80"\ngrpc_addr: "[::1]:81"\nunix_addr: ""\n${MAIN}`)
    expect(addressed).to.deep.include({
      [`${pixy}.host`]: '0.0.0.0',
      [`${pixy}.port`]: 80,
      [`${pixy}.grpcHost`]: '::1',
      [`${pixy}.grpcPort`]: 81
    })
    expect(addressed).not.to.have.property(`${pixy}.unixSocket`)
    const none = await settingsOf(`tcp_addr: /tmp/a.sock\ngrpc_addr: ""\n${MAIN}`)
    expect(none[`${pixy}.unixSocket`]).to.equal('/tmp/a.sock')
    for (const key of ['host', 'port', 'grpcHost', 'grpcPort']) expect(none).not.to.have.property(`${pixy}.${key}`)
    const flagged = await settingsOf(`grpc_addr: a:1\n${MAIN}`, { grpcAddr: 'b:2' })
    expect([flagged[`${pixy}.grpcHost`], flagged[`${pixy}.grpcPort`]]).to.deep.equal(['b', 2])
    expect(await settingsOf(`grpc_addr: a:1\n${MAIN}`, { grpcAddr: '' })).not.to.have.property(`${pixy}.grpcPort`)
  })

  it('gRPC alone opens no port for HTTP, and says so', async () => {
    for (const [text, flags] of [
      [`grpc_addr: a:1\n${MAIN}`, {}],
      [MAIN, { grpcAddr: 'a:1' }]
    ] as const) {
      const { pixy, notes } = await load(text, flags)
      expect([pixy.port, pixy.unixSocket, pixy.grpcPort]).to.deep.equal([undefined, undefined, 1])
      expect(notes.join()).to.include('only gRPC is served')
    }
    expect((await load(`grpc_addr: a:1\nunix_addr: /s\n${MAIN}`)).pixy.port).to.equal(19_092)
    expect((await load(`grpc_addr: ""\n${MAIN}`)).pixy.port).to.equal(19_092)
  })

  it('certificates may be named one by one, and none is no setting', async () => {
    expect(await settingsOf(MAIN)).not.to.have.any.keys('http.tls.certFile', 'http.tls.keyFile')
    expect(await settingsOf(`tls: { certificate_path: "", key_path: "" }\n${MAIN}`)).not.to.have.property(
      'http.tls.certFile'
    )
    expect((await settingsOf(`tls: { certificate_path: c }\n${MAIN}`))['http.tls.certFile']).to.equal('c')
    expect((await settingsOf(`tls: { key_path: k }\n${MAIN}`))['http.tls.keyFile']).to.equal('k')
  })

  it('loggers that are known decide how lines look, and the last known severity which there are', async () => {
    const logged = async (loggers: string): Promise<unknown[]> => {
      const settings = await settingsOf(`logging: ${loggers}\n${MAIN}`)
      return [settings['log.format'], settings['log.level']]
    }
    expect(await logged('[{ name: console, severity: warn }]')).to.deep.equal(['text', 'warn'])
    expect(await logged('[{ name: json, severity: warning }]')).to.deep.equal(['json', 'warn'])
    expect(await logged('[{ name: json, severity: error }]')).to.deep.equal(['json', 'error'])
    expect(await logged('[{ name: json, severity: Info }]')).to.deep.equal(['json', undefined])
    expect(await logged('[{ name: json, severity: debug }]')).to.deep.equal(['json', 'debug'])
    expect(await logged('[{ name: json, severity: loud }, 7]')).to.deep.equal(['json', undefined])
    expect(await logged('[{ name: udplog, severity: info }]')).to.deep.equal([undefined, 'info'])
    expect(await logged('{ name: json }')).to.deep.equal([undefined, undefined])
  })

  it('credentials count where they are enabled', async () => {
    const sasl = (enable: boolean): string =>
      `proxies: { main: { net: { sasl: { enable: ${enable}, user: u, password: p } } } }`
    expect(await settingsOf(sasl(true))).to.include({
      'clusters.default.sasl.mechanism': 'plain',
      'clusters.default.sasl.username': 'u',
      'clusters.default.sasl.password': 'p'
    })
    expect(Object.keys(await settingsOf(sasl(false))).filter(path => path.includes('sasl'))).to.deep.equal([])
  })
})
