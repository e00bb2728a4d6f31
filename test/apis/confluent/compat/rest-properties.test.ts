import { expect } from 'chai'
import { translateConfluent } from '../../../../src/apis/confluent/compat/rest-properties.js'
import { readProperties } from '../../../../src/apis/kafka-properties.js'
import { ConfigError } from '../../../../src/core/errors.js'
import { translateConfig } from '../../../../src/server/config/config.js'
import { checkRows } from '../../../support/rows.js'

const translate = (text: string | undefined, flags: Record<string, string | true> = {}, environment = {}) => {
  const all = { ...(text !== undefined && { config: 'kafka-rest.properties' }), ...flags }
  const { settings, notes } = translateConfluent({
    flags: new Map(Object.entries(all)),
    environment,
    readFile: () => text!
  })
  return { settings: Object.fromEntries(settings.map(({ path, value }) => [path.join('.'), value])), notes }
}

describe('readProperties', () => {
  it('each way to write a property in Java is read', () =>
    checkRows(
      [
        ['a=1', 'a', '1'],
        ['  a.b : two words ', 'a.b', 'two words '],
        ['a b', 'a', 'b'],
        ['a', 'a', ''],
        ['a=1\\\n   2', 'a', '12'],
        ['a=1\\\\\nb=2', 'a', '1\\'],
        ['\\ a\\=\\:b=\\u00fc\\t\\"', ' a=:b', 'ü\t"'],
        ['a=1\r\na=2', 'a', '2'],
        ['__proto__=1', '__proto__', '1'],
        ['a=#x', 'a', '#x']
      ] as const,
      ([text, key, value]) => expect(readProperties(text).get(key)).to.equal(value)
    ))

  it('skips comments and empty lines', () => {
    expect([...readProperties('# a=1\n ! b=2\n\n')]).to.deep.equal([])
  })
})

describe('castellan confluent: kafka-rest.properties', () => {
  it('allows web pages', () => {
    const allowed = (text: string) => translate(`access.control.allow.origin=${text}`).settings['http.allowedOrigins']
    expect(allowed('*')).to.deep.equal(['*'])
    expect(allowed('https://a.example, https://b.example:1')).to.deep.equal([
      'https://a.example',
      'https://b.example:1'
    ])
    const { settings, notes } = translate('access.control.allow.origin=\naccess.control.allow.methods=GET,POST')
    expect(settings).not.to.have.property('http.allowedOrigins')
    expect(notes).to.have.length(2)
    expect(notes.join()).to.contain('no web page is named').and.to.contain('may use all methods')
  })

  it('has the defaults of the REST Proxy', () => {
    for (const text of [undefined, '']) {
      expect(translate(text)).to.deep.equal({
        settings: {
          'http.port': 0,
          'apis.confluent.host': '0.0.0.0',
          'apis.confluent.port': 8_082,
          'clusters.default.brokers': ['localhost:9092']
        },
        notes: []
      })
    }
  })

  it('sets what there is here', () => {
    const { settings, notes } = translate(
      'listeners=http://127.0.0.1:1\nbootstrap.servers=SASL_SSL://a:1, b:2\nidle.timeout.ms=5\nstreaming.connection.max.duration.ms=6\n' +
        'api.v3.produce.request.size.limit.max.bytes=7\nproducer.delivery.timeout.ms=8\nproducer.compression.type=lz4\nclient.id=me'
    )
    expect(settings).to.deep.equal({
      'http.port': 0,
      'apis.confluent.host': '127.0.0.1',
      'apis.confluent.port': 1,
      'clusters.default.brokers': ['a:1', 'b:2'],
      'apis.confluent.streamIdleMs': 5,
      'apis.confluent.streamMaxMs': 6,
      'apis.confluent.maxBodyBytes': 7,
      'apis.confluent.syncTimeoutMs': 8,
      'delivery.compression': 'lz4',
      'clusters.default.clientId': 'me'
    })
    expect(notes).to.deep.equal([])
  })

  it('reads the variables of the image cp-kafka-rest; the file wins over them', () => {
    const environment = {
      KAFKA_REST_BOOTSTRAP_SERVERS: 'PLAINTEXT://kafka:9092',
      KAFKA_REST_LISTENERS: 'http://0.0.0.0:8082',
      KAFKA_REST_CLIENT_ID: 'by-variable',
      KAFKA_REST_HOST_NAME: 'rest',
      KAFKA_REST_HEAP_OPTS: '-Xmx1g',
      OTHER: 'x'
    }
    expect(translate(undefined, {}, environment)).to.deep.equal({
      settings: {
        'http.port': 0,
        'apis.confluent.host': '0.0.0.0',
        'apis.confluent.port': 8_082,
        'clusters.default.brokers': ['kafka:9092'],
        'clusters.default.clientId': 'by-variable'
      },
      notes: ['KAFKA_REST_HOST_NAME has no effect: advertised.listeners names the address in base_uri']
    })
    expect(translate('client.id=by-file', {}, environment).settings).to.include({
      'clusters.default.clientId': 'by-file'
    })
  })

  it('a flag wins over the file, and the embedded broker over its brokers', () => {
    const text = 'port=5\nbootstrap.servers=a:1\nclient.security.protocol=SASL_SSL'
    const { settings } = translate(text, { port: '7', embedded: true })
    expect(settings).to.deep.equal({
      'http.port': 0,
      'apis.confluent.host': '0.0.0.0',
      'apis.confluent.port': 7,
      'embedded.enabled': true
    })
  })

  it('does not start an https listener without a certificate, and so never sends passwords in clear text', () => {
    const read = () =>
      translateConfluent({
        flags: new Map([['config', 'kafka-rest.properties']]),
        environment: {},
        readFile: () => 'listeners=https://127.0.0.1:0'
      })
    const sources = (files: readonly string[]) => ({
      flags: files.map(name => ({ flag: '--set', path: ['http', 'tls', name], value: `${name}.pem` }))
    })
    expect(() => translateConfig({}, read(), 'confluent')).to.throw(
      ConfigError,
      'kafka-rest.properties, listeners: https://127.0.0.1:0 needs a certificate: set http.tls.certFile and http.tls.keyFile'
    )
    const { config } = translateConfig(sources(['certFile', 'keyFile']), read(), 'confluent')
    expect(config.http.tls.certFile).to.equal('certFile.pem')
  })

  it('reads the settings of consumer instances', () => {
    const { settings } = translate(
      'id=x\nconsumer.request.timeout.ms=7\nconsumer.request.max.bytes=8\nconsumer.instance.timeout.ms=9\nfetch.min.bytes=1\n' +
        'consumer.auto.offset.reset=earliest\nconsumer.enable.auto.commit=false\nadvertised.listeners=http://pub:80,https://pub:443'
    )
    expect(settings).to.deep.include({
      'apis.confluent.consumers.maxWaitMs': 7,
      'apis.confluent.consumers.idleMs': 9,
      'apis.confluent.consumers.minBytes': 1,
      'apis.confluent.consumers.start': 'earliest',
      'apis.confluent.consumers.autoCommit': false,
      'apis.confluent.consumers.advertisedUrl': 'http://pub:80'
    })
  })

  it('reads the URLs of the schema registry, and what it is to be asked with', () => {
    const { settings, notes } = translate(
      'schema.registry.url=http://a:8081/, https://b/apis/ccompat/v7\nschema.registry.basic.auth.credentials.source=USER_INFO\n' +
        'schema.registry.basic.auth.user.info=u:p'
    )
    expect(settings).to.deep.include({
      'schemas.registry.urls': ['http://a:8081', 'https://b/apis/ccompat/v7'],
      'schemas.registry.credentials': 'u:p'
    })
    expect(notes).to.have.length(1)
    expect(notes[0]).to.match(/credentials\.source has no effect: credentials in .*user\.info or .*token are used/)
    const bearer = translate(
      undefined,
      {},
      {
        KAFKA_REST_SCHEMA_REGISTRY_URL: 'http://a',
        KAFKA_REST_SCHEMA_REGISTRY_BEARER_AUTH_TOKEN: 't'
      }
    )
    expect(bearer.settings).to.deep.include({
      'schemas.registry.urls': ['http://a'],
      'schemas.registry.credentials': 't'
    })
  })

  it('names each other key once, with the reason where there is one', () => {
    const { notes } = translate(
      'consumer.threads=1\nschema.registry.ssl.truststore.location=f\nauthentication.method=BASIC\nssl.keystore.location=f\nodd.key=1\napi.v3.enable=false\n' +
        'api.v3.produce.request.size.limit.max.bytes=0\nlisteners=https://:1,http://:2'
    )
    const [others, ...keys] = notes
    expect(others).to.equal('kafka-rest.properties, listeners: only the first listener is opened')
    expect(keys.map(note => note.replace('kafka-rest.properties, ', ''))).to.deep.equal([
      'consumer.threads has no effect: instances have no such setting',
      'schema.registry.ssl.truststore.location has no effect: TLS to the registry is set by schemas.registry, with files in PEM',
      'authentication.method has no effect: clients are authenticated by the settings of auth',
      'ssl.keystore.location has no effect: TLS of the port is set by http.tls',
      'odd.key has no effect here',
      'api.v3.enable has no effect: the API is served as a whole: apis.confluent.enabled',
      'api.v3.produce.request.size.limit.max.bytes has no effect: apis.confluent.maxBodyBytes is the limit'
    ])
  })

  it('reads user and password of SASL, and quotes neither', () => {
    const sasl = (jaas: string) =>
      `client.security.protocol=SASL_SSL\nclient.sasl.mechanism=SCRAM-SHA-256\nclient.sasl.jaas.config=${jaas}`
    const { settings } = translate(sasl('Module required \\\n username="u" password="p\\\\"q";'))
    expect(settings).to.include({
      'clusters.default.tls.enabled': true,
      'clusters.default.sasl.mechanism': 'scram-sha-256',
      'clusters.default.sasl.username': 'u',
      'clusters.default.sasl.password': 'p"q'
    })
    expect(() => translate(sasl('secret'))).to.throw(
      'kafka-rest.properties, client.sasl.jaas.config: has no username="…" and password="…"'
    )
  })

  it('takes values that have quotes of either kind, or none, in the login of SASL', () => {
    for (const login of [`username='u' password='p'`, 'username=u password=p;', 'password = "p" username= u;']) {
      const { settings } = translate(
        `client.security.protocol=SASL_SSL\nclient.sasl.mechanism=PLAIN\nclient.sasl.jaas.config=Module required ${login}`
      )
      expect(settings, login).to.include({
        'clusters.default.sasl.username': 'u',
        'clusters.default.sasl.password': 'p'
      })
    }
  })

  it('refuses a security protocol that there is not, so that a misspelt one does not turn TLS off', () => {
    for (const protocol of ['SASL_SLL', 'TLS', 'SASL', '']) {
      expect(() => translate(`client.security.protocol=${protocol}`), protocol).to.throw(
        `kafka-rest.properties, client.security.protocol: expected PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, got "${protocol}"`
      )
    }
    expect(
      translate(
        'client.security.protocol=sasl_plaintext\nclient.sasl.mechanism=PLAIN\nclient.sasl.jaas.config=username=u password=p'
      ).settings
    )
      .to.include({ 'clusters.default.sasl.mechanism': 'plain' })
      .and.not.have.property('clusters.default.tls.enabled')
  })

  it('names keys of SASL that have no effect, because the protocol is without SASL', () => {
    const { settings, notes } = translate(
      'client.sasl.mechanism=PLAIN\nclient.sasl.jaas.config=username="u" password="p";'
    )
    expect(Object.keys(settings).join()).not.to.include('sasl')
    expect(notes).to.deep.equal([
      'kafka-rest.properties, client.sasl.mechanism has no effect: client.security.protocol is PLAINTEXT',
      'kafka-rest.properties, client.sasl.jaas.config has no effect: client.security.protocol is PLAINTEXT'
    ])
  })

  it('takes a slash after a listener, and brokers with empty places between their commas', () => {
    const { settings } = translate('listeners=http://h:1/\nbootstrap.servers=a:1,, b:2,\n')
    expect(settings).to.include({ 'apis.confluent.host': 'h', 'apis.confluent.port': 1 })
    expect(settings['clusters.default.brokers']).to.deep.equal(['a:1', 'b:2'])
  })

  it('refuses listeners and mechanisms that it cannot use, all at once', () => {
    const mechanisms = 'expected PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512'
    expect(() => translate('listeners=8082\nclient.security.protocol=SASL_PLAINTEXT')).to.throw(
      'kafka-rest.properties, listeners: write it as http://HOST:PORT, not 8082\n' +
        `kafka-rest.properties, client.security.protocol: client.sasl.mechanism is missing; ${mechanisms}`
    )
    expect(() => translate('client.security.protocol=SASL_SSL\nclient.sasl.mechanism=OAUTHBEARER')).to.throw(
      `kafka-rest.properties, client.sasl.mechanism: ${mechanisms}, got "OAUTHBEARER"; ` +
        'for OAUTHBEARER set clusters.default.sasl, and remove the keys client.sasl.… and client.security.protocol'
    )
    expect(() => translate('client.security.protocol=SASL_SSL\nclient.sasl.mechanism=PLAIN')).to.throw(
      'kafka-rest.properties, client.security.protocol: client.sasl.jaas.config has no username="…" and password="…"'
    )
  })
})
