import { expect } from 'chai'
import { translateStrimzi } from '../../../../src/apis/strimzi/compat/application-properties.js'
import { ConfigError } from '../../../../src/core/errors.js'
import { translateConfig } from '../../../../src/server/config/config.js'

const FILE = 'application.properties'
const read = (text: string | undefined, flags: Record<string, string | true> = {}, environment = {}) =>
  translateStrimzi({
    flags: new Map(Object.entries({ ...(text !== undefined && { 'config-file': FILE }), ...flags })),
    environment,
    readFile: () => text!
  })
const translate = (...given: Parameters<typeof read>) => {
  const { settings, notes } = read(...given)
  return { settings: Object.fromEntries(settings.map(({ path, value }) => [path.join('.'), value])), notes }
}
const defaults = {
  'http.port': 0,
  'apis.strimzi.host': '0.0.0.0',
  'apis.strimzi.port': 8_080,
  'clusters.default.brokers': ['localhost:9092']
}

describe('castellan strimzi: application.properties', () => {
  it('has the defaults of the bridge', () => {
    for (const text of [undefined, '', '# only a comment']) {
      expect(translate(text)).to.deep.equal({ settings: defaults, notes: [] })
    }
  })

  it('sets what there is here', () => {
    const { settings, notes } = translate(
      'bridge.id=my-bridge\nkafka.bootstrap.servers=a:1, b:2\nkafka.client.id=me\nkafka.producer.compression.type=lz4\n' +
        'kafka.producer.delivery.timeout.ms=8\nkafka.consumer.auto.offset.reset=earliest\n' +
        'kafka.consumer.isolation.level=read_committed\nhttp.host=127.0.0.1\nhttp.port=1\nhttp.timeoutSeconds=5\n' +
        'http.management.port=2\nhttp.cors.enabled=true\nhttp.cors.allowedOrigins=https://a.example,http://b.example:1\n' +
        'http.cors.allowedMethods=GET,POST'
    )
    expect(settings).to.deep.equal({
      'http.port': 0,
      'apis.strimzi.host': '127.0.0.1',
      'apis.strimzi.port': 1,
      'apis.strimzi.bridgeId': 'my-bridge',
      'apis.strimzi.syncTimeoutMs': 8,
      'apis.strimzi.startFrom': 'earliest',
      'apis.strimzi.instanceIdleMs': 5_000,
      'apis.strimzi.corsMethods': ['GET', 'POST'],
      'http.allowedOrigins': ['https://a.example', 'http://b.example:1'],
      'clusters.default.brokers': ['a:1', 'b:2'],
      'clusters.default.clientId': 'me',
      'delivery.compression': 'lz4',
      'router.isolationLevel': 'readCommitted',
      'management.port': 2
    })
    expect(notes).to.deep.equal([])
  })

  it('takes what it sets for settings that there are', () => {
    const translation = read('bridge.id=b\nhttp.timeoutSeconds=-1\nhttp.cors.enabled=true\nkafka.bootstrap.servers=a:1')
    const { config } = translateConfig({}, translation, 'strimzi')
    expect(config.apis.strimzi).to.include({ enabled: true, bridgeId: 'b' }).and.not.have.property('instanceIdleMs')
    expect(config.http.allowedOrigins).to.deep.equal(['*'])
  })

  it('names every other key once, with the reason where there is one', () => {
    const { settings, notes } = translate(
      'kafka.producer.acks=1\nkafka.consumer.fetch.max.bytes=1\nbridge.tracing=opentelemetry\nhttp.cors.enabled=false\n' +
        'http.cors.allowedOrigins=*\nhttp.timeoutSeconds=-1'
    )
    expect(settings).to.deep.equal(defaults)
    expect(notes.toSorted()).to.deep.equal([
      `${FILE}, bridge.tracing has no effect here`,
      `${FILE}, http.cors.allowedOrigins has no effect: http.cors.enabled is not true`,
      `${FILE}, http.timeoutSeconds has no effect: no consumer is removed, as by default`,
      `${FILE}, kafka.consumer.fetch.max.bytes has no effect: consumers have no such setting`,
      `${FILE}, kafka.producer.acks has no effect: all in-sync replicas acknowledge a record`
    ])
  })

  it('a flag wins over the file, and the embedded broker over its brokers', () => {
    const text = 'http.port=5\nkafka.bootstrap.servers=a:1\nkafka.security.protocol=SASL_SSL'
    expect(translate(text, { port: '7', embedded: true }).settings).to.deep.equal({
      'http.port': 0,
      'apis.strimzi.host': '0.0.0.0',
      'apis.strimzi.port': 7,
      'embedded.enabled': true
    })
  })

  it('logs in to Kafka as the file says', () => {
    const jaas = 'org.apache.kafka.common.security.scram.ScramLoginModule required username="u" password="p";'
    const login = `kafka.security.protocol=SASL_SSL\nkafka.sasl.mechanism=SCRAM-SHA-512\nkafka.sasl.jaas.config=${jaas}`
    expect(translate(login).settings).to.include({
      'clusters.default.tls.enabled': true,
      'clusters.default.sasl.mechanism': 'scram-sha-512',
      'clusters.default.sasl.username': 'u',
      'clusters.default.sasl.password': 'p'
    })
  })

  it('refuses origins that are no origins, and TLS without a certificate', () => {
    expect(() => read('http.cors.enabled=true\nhttp.cors.allowedOrigins=.*example.*')).to.throw(
      ConfigError,
      'write * or origins such as https://app.example'
    )
    expect(() => translateConfig({}, read('http.ssl.enable=true'), 'strimzi')).to.throw(
      ConfigError,
      'needs a certificate'
    )
    const files = 'http.ssl.enable=true\nhttp.ssl.certificate.location=c.pem\nhttp.ssl.key.location=k.pem'
    const { config } = translateConfig({}, read(files), 'strimzi')
    expect([config.apis.strimzi.port, config.http.tls.certFile, config.http.tls.keyFile]).to.deep.equal([
      8_443,
      'c.pem',
      'k.pem'
    ])
  })
})
