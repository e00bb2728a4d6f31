import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { ConfigError } from '../../../src/core/errors.js'
import { readTlsFiles } from '../../../src/core/files/tls-files.js'
import { warnings } from '../../../src/server/config/checks.js'
import { type Config, type ConfigSources, explainConfig, loadConfig } from '../../../src/server/config/config.js'
import { toYaml } from '../../../src/server/config/print.js'
import { checkRows } from '../../support/rows.js'
import { testCertificate, testKey } from '../../support/test-certificate.js'

describe('config', () => {
  let directory: string
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'castellan-config-'))
  })
  after(() => rmSync(directory, { recursive: true }))

  const file = (text: string, name = 'castellan.yaml'): string => {
    const path = join(directory, name)
    writeFileSync(path, text)
    return path
  }
  const problemsOf = (sources: ConfigSources): string[] => {
    try {
      loadConfig(sources)
    } catch (error) {
      expect(error).to.be.instanceOf(ConfigError)
      return (error as Error).message.split('\n').map(line => line.replaceAll(`${directory}/`, ''))
    }
    return []
  }
  const flag = (name: string, path: string, value: string | boolean) => ({ flag: name, path: path.split('.'), value })

  describe('defaults', () => {
    it('listen on loopback only and use the embedded broker', () => {
      const { http, management, clusters, embedded } = loadConfig({})
      expect([http.host, http.port]).to.deep.equal(['127.0.0.1', 8080])
      expect([management.host, management.port]).to.deep.equal(['127.0.0.1', 8081])
      expect(clusters.default!.brokers).to.deep.equal([])
      expect(embedded.host).to.equal('127.0.0.1')
    })

    it('cannot be changed by the rooms that get them', () => {
      const config = loadConfig({}) as unknown as {
        http: { port: number }
        clusters: { default: { brokers: string[] } }
      }
      expect(() => {
        config.http.port = 1
      }).to.throw(TypeError)
      expect(() => config.clusters.default.brokers.push('x:1')).to.throw(TypeError)
    })
  })

  describe('precedence', () => {
    it('is file, then environment, then flags, setting by setting', () => {
      const { http } = loadConfig({
        file: file('http: {port: 1001, maxConnections: 11}\nadvanced: {http: {accessLog: {share: 0.5}}}'),
        environment: { CASTELLAN_HTTP_PORT: '1002', CASTELLAN_HTTP_MAX_CONNECTIONS: '12' },
        flags: [flag('--port', 'http.port', '1003')]
      })
      expect([http.port, http.maxConnections, http.accessLog.share]).to.deep.equal([1003, 12, 0.5])
    })

    it('lets the last of equal flags win', () => {
      const flags = [flag('--port', 'http.port', '1'), flag('--port', 'http.port', '2')]
      expect(loadConfig({ flags }).http.port).to.equal(2)
    })
  })

  describe('the environment', () => {
    it('has a variable for every setting', () => {
      const caFile = file(testCertificate, 'ca.pem')
      const config = loadConfig({
        environment: {
          CASTELLAN_HTTP_MAX_BODIES_IN_FLIGHT_BYTES: '1000',
          CASTELLAN_HTTP_ALLOW_ANONYMOUS: 'true',
          CASTELLAN_MANAGEMENT_PORT: 'off',
          CASTELLAN_CLUSTERS_DEFAULT_BROKERS: 'a:1, b:2',
          CASTELLAN_CLUSTERS_DEFAULT_TLS_ENABLED: '1',
          CASTELLAN_CLUSTERS_DEFAULT_TLS_CA_FILE: caFile,
          CASTELLAN_LOG_LEVEL: 'warn'
        }
      })
      expect(config.http.maxBodiesInFlightBytes).to.equal(1000)
      expect(config.http.allowAnonymous).to.equal(true)
      expect(config.management.port).to.equal('off')
      expect(config.clusters.default!.brokers).to.deep.equal(['a:1', 'b:2'])
      expect(config.clusters.default!.tls).to.deep.include({ enabled: true, caFile })
      expect(config.log.level).to.equal('warn')
    })

    it('has a short name for the brokers of the default cluster', () => {
      expect(loadConfig({ environment: { CASTELLAN_BROKERS: 'a:1' } }).clusters.default!.brokers).to.deep.equal(['a:1'])
    })

    it('finds clusters of the file whose names have a dash, and makes new ones', () => {
      const { clusters } = loadConfig({
        file: file('clusters: {eu-west: {brokers: ["a:1"]}}'),
        environment: { CASTELLAN_CLUSTERS_EU_WEST_CLIENT_ID: 'me', CASTELLAN_CLUSTERS_OTHER_BROKERS: 'b:2' }
      })
      expect(clusters['eu-west']).to.deep.include({ brokers: ['a:1'], clientId: 'me' })
      expect(clusters.other!.brokers).to.deep.equal(['b:2'])
      expect(clusters.default!.brokers).to.deep.equal([])
    })

    it('takes secrets from files, without the line break at their end', () => {
      const secret = file('hush\n', 'password')
      const { clusters } = loadConfig({
        environment: {
          CASTELLAN_BROKERS: 'a:1',
          CASTELLAN_CLUSTERS_DEFAULT_SASL_MECHANISM: 'scram-sha-512',
          CASTELLAN_CLUSTERS_DEFAULT_SASL_USERNAME: 'me',
          CASTELLAN_CLUSTERS_DEFAULT_SASL_PASSWORD_FILE: secret
        }
      })
      expect(clusters.default!.sasl).to.deep.equal({ mechanism: 'scram-sha-512', username: 'me', password: 'hush' })
    })

    it('names a secret file that cannot be read, and takes no other setting from a file', () => {
      expect(
        problemsOf({
          environment: {
            CASTELLAN_CLUSTERS_DEFAULT_SASL_TOKEN_FILE: join(directory, 'missing'),
            CASTELLAN_HTTP_PORT_FILE: '/x'
          }
        })
      ).to.deep.equal([
        'CASTELLAN_CLUSTERS_DEFAULT_SASL_TOKEN_FILE: the file it names cannot be read',
        'CASTELLAN_HTTP_PORT_FILE: no such setting; did you mean CASTELLAN_HTTP_PORT?'
      ])
    })

    it('ignores what is empty, what is not ours, and what Kubernetes sets for a service called castellan', () => {
      expect(
        problemsOf({
          environment: {
            PATH: '/bin',
            CASTELLAN_HTTP_PORT: '',
            CASTELLAN_PORT: 'tcp://10.0.0.1:8080',
            CASTELLAN_SERVICE_HOST: '10.0.0.1',
            CASTELLAN_SERVICE_PORT_HTTP: '8080',
            CASTELLAN_PORT_8080_TCP_ADDR: '10.0.0.1'
          }
        })
      ).to.deep.equal([])
    })
  })

  describe('problems', () => {
    it('are all reported at once, each with what was found and where it was said', () => {
      expect(
        problemsOf({
          file: file('http: {port: eighty, prot: 1}\nlog: {level: loud}\nmanagement: {port: on}\nport: 1\n'),
          environment: { CASTELLAN_HTTP_MAX_BODY_BYTES: '-1', CASTELLAN_NO_SUCH: '1' },
          flags: [flag('--brokers', 'clusters.default.brokers', 'kafka,b:99999'), flag('--set a.b', 'a.b', '1')]
        })
      ).to.deep.equal([
        'CASTELLAN_NO_SUCH: no such setting',
        '--set a.b: there is no setting a.b',
        'http.port: expected integer, got "eighty" (castellan.yaml, line 1)',
        'http.maxBodyBytes: must be at least 1, got -1 (CASTELLAN_HTTP_MAX_BODY_BYTES)',
        'http.prot: no such setting; did you mean port? (castellan.yaml, line 1)',
        'management.port: expected `off` or integer, got "on" (castellan.yaml, line 3)',
        'clusters.default.brokers.0: write it as HOST:PORT, for example kafka-1:9092, got "kafka" (--brokers)',
        'clusters.default.brokers.1: the port must be at most 65535, got "b:99999" (--brokers)',
        'log.level: expected `debug`, `info`, `warn`, `error`, `silent`, got "loud" (castellan.yaml, line 2)',
        'port: no such setting; did you mean http.port? (castellan.yaml, line 4)'
      ])
    })

    it('read those under both names that were not in advanced before', () => {
      const { http, embedded, apis } = loadConfig({
        file: file('http: {keepAliveTimeoutMs: 5}\napis: {arion: {producesByGet: true}, kprf: {failureWord: no}}\n'),
        environment: { CASTELLAN_HTTP_ACCESS_LOG_SHARE: '0.5', CASTELLAN_ADVANCED_APIS_KPRF_FAILURE_WORD: 'error' },
        flags: [flag('--set embedded.retentionBytes', 'embedded.retentionBytes', '1048576')]
      })
      expect([http.keepAliveTimeoutMs, http.accessLog.share, embedded.retentionBytes]).to.deep.equal([
        5, 0.5, 1_048_576
      ])
      expect([apis.arion.producesByGet, apis.kprf.failureWord]).to.deep.equal([true, 'error'])
    })

    it('name the place of an advanced setting, and refuse others there', () => {
      expect(
        problemsOf({
          file: file('router: {callTimeoutMs: 1}\nadvanced: {http: {port: 1, maxHeadrs: 1}, wal: {}, router: 5}\n'),
          environment: { CASTELLAN_HTTP_MAX_HEADERS: '1', CASTELLAN_ADVANCED_HTTP_MAX_HEADERS: 'x' },
          flags: [flag('--set http.maxHeapShare', 'http.maxHeapShare', '1')]
        })
      ).to.deep.equal([
        'CASTELLAN_HTTP_MAX_HEADERS: no such setting; it is called CASTELLAN_ADVANCED_HTTP_MAX_HEADERS now',
        '--set http.maxHeapShare: there is no setting http.maxHeapShare; it is called advanced.http.maxHeapShare now',
        'router.callTimeoutMs: no such setting; it is called advanced.router.callTimeoutMs now (castellan.yaml, line 1)',
        'advanced.http.port: no such setting; did you mean http.port? (castellan.yaml, line 2)',
        'advanced.http.maxHeadrs: no such setting; did you mean maxHeaders? (castellan.yaml, line 2)',
        'advanced.router: expected settings (castellan.yaml, line 2)',
        'advanced.http.maxHeaders: expected integer, got "x" (CASTELLAN_ADVANCED_HTTP_MAX_HEADERS)'
      ])
    })

    it('tell an empty section of advanced settings from a wrong value and from one that does not exist', () => {
      expect(problemsOf({ file: file('advanced: {router: {}, apis: {kafboy: {}, kprf: {}}}\n') })).to.deep.equal([])
      expect(problemsOf({ file: file('advanced: {}\n') })).to.deep.equal([])
      expect(
        problemsOf({
          file: file(
            'advanced:\n  router: {callTimeoutMs: {}, metadataMaxAgeMs: {x: {}}}\n' +
              '  apis: {kafboy: {callbackTimeoutMs: {}}}\n  rooter: {}\n  wall: {x: {}}\n  cache: {maxBytes: {}}\n'
          )
        })
      ).to.deep.equal([
        'advanced.rooter: no such setting; did you mean router? (castellan.yaml, line 4)',
        'advanced.wall.x: no such setting (castellan.yaml, line 5)',
        'advanced.cache.maxBytes: no such setting; did you mean delivery.maxBytes? (castellan.yaml, line 6)',
        'advanced.apis.kafboy.callbackTimeoutMs: expected integer, got {} (castellan.yaml, line 3)',
        'advanced.router.callTimeoutMs: expected integer, got {} (castellan.yaml, line 2)',
        'advanced.router.metadataMaxAgeMs: expected integer (castellan.yaml, line 2)'
      ])
    })

    it('name what a setting is called now', () => {
      expect(
        problemsOf({
          file: file('dialects: {kprf: {port: 1}}\ndelivery: {maxLaneBytes: 1}\nlog: {pretty: always}\n'),
          environment: {
            CASTELLAN_ADVANCED_AUTH_REALM: 'here',
            CASTELLAN_DIALECTS_KPRF_PORT: '1',
            CASTELLAN_WAL_SLAB_BYTES: '1'
          },
          flags: [flag('--set dialects.kprf.port', 'dialects.kprf.port', '1')]
        })
      ).to.deep.equal([
        'CASTELLAN_ADVANCED_AUTH_REALM: no such setting; it is always castellan',
        'CASTELLAN_DIALECTS_KPRF_PORT: no such setting; it is called CASTELLAN_APIS_KPRF_PORT now',
        'CASTELLAN_WAL_SLAB_BYTES: no such setting; it is called CASTELLAN_ADVANCED_WAL_SEGMENT_BYTES now',
        '--set dialects.kprf.port: there is no setting dialects.kprf.port; it is called apis.kprf.port now',
        'delivery.maxLaneBytes: no such setting; it is called advanced.delivery.maxPartitionBytes now (castellan.yaml, line 2)',
        'log.pretty: no such setting; use log.format: text or json (castellan.yaml, line 3)',
        'dialects: no such setting; it is called apis now (castellan.yaml, line 1)'
      ])
    })

    it('name the line of a file that is no YAML', () => {
      expect(problemsOf({ file: file('http: {port: 1') })[0]).to.match(/^castellan\.yaml: .* line 1/)
      expect(problemsOf({ file: file('http: 1\nhttp: 2') })[0]).to.match(
        /^castellan\.yaml: Map keys must be unique at line 2/
      )
      expect(problemsOf({ file: file('- a') })[0]).to.match(/^castellan\.yaml: expected settings/)
    })

    it('name a file that is not there', () => {
      expect(problemsOf({ file: join(directory, 'none.yaml') })).to.deep.equal([
        'cannot read none.yaml (ENOENT); it must be a YAML file'
      ])
    })

    it('refuse a file that is too large or never ends, instead of reading on and on', () => {
      const large = problemsOf({ file: file(`#${'x'.repeat(4 * 1024 * 1024)}`) })
      expect(large).to.deep.equal(['castellan.yaml has more than 4194304 bytes: settings never do'])
      expect(problemsOf({ file: '/dev/zero' })[0]).to.match(/zero has more than 4194304 bytes/)
    })

    it('of names that every object has are problems like others, and harm nothing', () => {
      const text = 'http: {__proto__: {polluted: 1}, constructor: 2}\n__proto__: {polluted: 1}\n'
      expect(problemsOf({ file: file(text) })).to.have.length(3)
      expect(({} as { polluted?: number }).polluted).to.equal(undefined)
    })

    it('never show a secret', () => {
      const environment = {
        CASTELLAN_BROKERS: 'a:1',
        CASTELLAN_CLUSTERS_DEFAULT_SASL_MECHANISM: 'hush',
        CASTELLAN_CLUSTERS_DEFAULT_SASL_PASSWORD: ''
      }
      const text =
        'clusters: {default: {sasl: {mechanism: plain, password: [hush-1], pasword: hush-2, token: {a: hush-3}}}}'
      const problems = problemsOf({
        file: file(text),
        environment: { ...environment, CASTELLAN_CLUSTERS_DEFAULT_SASL_MECHANISM: 'x' }
      })
      expect(problems).to.have.length(4)
      expect(problems.join('\n')).to.not.contain('hush')
    })
  })

  describe('problems', () => {
    const names = ['__proto__', 'constructor']

    it('are names that every object has, whichever way they come', () => {
      for (const name of names) {
        const path = `clusters.${name}.clientId`
        const expected = (origin: string): string =>
          `${path}: no such setting, and ${name} cannot be a name (${origin})`
        expect(problemsOf({ flags: [flag(`--set ${path}`, path, 'x')] })).to.deep.equal([expected(`--set ${path}`)])
        const yaml = file(`http:\n  port: 1\nclusters:\n  ${name}:\n    clientId: x\n`)
        expect(problemsOf({ file: yaml })).to.deep.equal([expected('castellan.yaml, line 5')])
      }
      const variable = 'CASTELLAN_CLUSTERS_CONSTRUCTOR_CLIENT_ID'
      expect(problemsOf({ environment: { [variable]: 'x' } })).to.deep.equal([
        `clusters.constructor.clientId: no such setting, and constructor cannot be a name (${variable})`
      ])
      expect(problemsOf({ environment: { CASTELLAN_CLUSTERS___PROTO___CLIENT_ID: 'x' } })).to.have.length(1)
      expect(problemsOf({ flags: [flag('--set __proto__.x', '__proto__.x', '1')] })).to.have.length(1)
      expect(Object.keys(Object.prototype)).to.deep.equal([])
    })

    it('are also such names inside of structures', () => {
      const path = 'apis.kprf.ratelimit.rules'
      const rules = '[{"topic":"t","maxPerMinute":1,"__proto__":{"polluted":1}}]'
      expect(problemsOf({ flags: [flag(`--set ${path}`, path, rules)] })).to.have.length(1)
      expect(problemsOf({ file: file(`apis: {kprf: {ratelimit: {rules: ${rules}}}}`) })).to.have.length(1)
    })

    it('never quote an address with a user name and a password', () => {
      const bad = [
        'me:hush-1@kafka:9092',
        'kafka://me:hush-1@kafka:9092',
        'me:hu,hush-1@kafka:9092',
        'hush-1@kafka:9092'
      ]
      for (const brokers of bad) {
        const problems = [
          ...problemsOf({ flags: [flag('--brokers', 'clusters.default.brokers', brokers)] }),
          ...problemsOf({ environment: { CASTELLAN_BROKERS: brokers } }),
          ...problemsOf({ file: file(JSON.stringify({ clusters: { default: { brokers: [brokers] } } })) }),
          ...problemsOf({ flags: [flag('--host', 'http.host', `http://${brokers}`)] })
        ]
        expect(problems.length, brokers).to.be.at.least(4)
        expect(problems.join('\n')).to.not.contain('hush').and.to.not.contain('me:hu')
      }
    })

    it('never quote a secret that YAML stumbles over', () => {
      const values = [
        '*hush',
        '!hush x',
        '|hush',
        '"x" hush',
        "'hush",
        '{hush',
        '&a &hush b',
        '%hush',
        '@hush',
        '"\\qhush'
      ]
      for (const value of values) {
        const problems = problemsOf({ file: file(`clusters: {}\nlog:\n  level: ${value}\n`) })
        expect(problems, value).to.have.length.at.least(1)
        expect(problems.join('\n'), value).to.not.contain('hush')
      }
    })

    it('never quote a secret that stands where the name of its file belongs', () => {
      const environment = { CASTELLAN_CLUSTERS_DEFAULT_SASL_PASSWORD_FILE: 'hush' }
      expect(problemsOf({ environment }).join()).to.contain('PASSWORD_FILE').and.to.not.contain('hush')
      const tls = { enabled: true, rejectUnauthorized: true, keyFile: '-----BEGIN PRIVATE KEY-----\nhush\n' }
      expect(() => readTlsFiles('clusters.default.tls', tls))
        .to.throw(ConfigError)
        .with.property('message')
        .that.does.not.contain('hush')
    })

    it('have no control characters', () => {
      const problems = problemsOf({ file: file('"a\\e[2J\\n": 1\nhttp: {port: "\\x9b"}\n') })
      expect(problems).to.deep.equal([
        'http.port: expected integer, got "\\u009b" (castellan.yaml, line 2)',
        'a\\u001b[2J\\n: no such setting (castellan.yaml, line 1)'
      ])
    })
  })

  describe('files of TLS', () => {
    const tls = (settings: object): string =>
      JSON.stringify({ clusters: { default: { brokers: ['a:1'], tls: { enabled: true, ...settings } } } })

    it('are missed before the start, together with other problems', () => {
      const text = tls({ caFile: join(directory, 'none.pem') })
      expect(problemsOf({ file: file(text), flags: [flag('--port', 'http.port', '1')] })).to.deep.equal([
        'clusters.default.tls.caFile: cannot read none.pem (ENOENT)'
      ])
    })

    it('must be what they are said to be', () => {
      const ca = file(testCertificate, 'ca.pem')
      const key = file(testKey, 'key.pem')
      const junk = file('junk', 'junk.pem')
      expect(problemsOf({ file: file(tls({ caFile: ca, certFile: ca, keyFile: key })) })).to.deep.equal([])
      expect(problemsOf({ file: file(tls({ caFile: junk })) })).to.deep.equal([
        'clusters.default.tls.caFile: junk.pem has no certificate in PEM form'
      ])
      const [swapped] = problemsOf({ file: file(tls({ certFile: key, keyFile: ca })) })
      expect(swapped).to.match(/^clusters\.default\.tls: the files cannot be used: keyFile has no private key, /)
    })
  })

  describe('a wrong value in a file', () => {
    it('is told with its line, inside of lists too', () => {
      const text =
        'http:\n  port: 1\n\napis:\n  kprf:\n    ratelimit:\n      rules:\n        - topic: a\n          maxPerMinute: -1\n'
      expect(problemsOf({ file: file(text) })).to.deep.equal([
        'apis.kprf.ratelimit.rules.0.maxPerMinute: must be at least 0, got -1 (castellan.yaml, line 9)'
      ])
    })

    const OPERATIONS =
      '`produce`, `consume`, `offsets`, `admin`, `create`, `delete`, `alter`, `cluster`, `register`, `management`'
    const inLists: readonly (readonly [text: string, problem: string])[] = [
      [
        'access: {rules: [{principals: [a@b], operations: [produce, consum]}]}',
        `access.rules.0.operations.1: expected ${OPERATIONS}, got "consum"`
      ],
      [
        'access: {rules: [{principals: [a], operations: produce}]}',
        `access.rules.0.operations: expected list of ${OPERATIONS}, got "produce"`
      ],
      [
        'access: {rules: [{principals: [7], operations: [produce]}]}',
        'access.rules.0.principals.0: expected text, got 7'
      ],
      [
        'access: {rules: [{principals: [], operations: [produce]}]}',
        'access.rules.0.principals: must be at least 1 entry, got []'
      ],
      [
        'access: {rules: [{principals: [a], operations: [produce], topcs: [a]}]}',
        'access.rules.0.topcs: no such setting; did you mean topics?'
      ],
      [
        'access: {rules: [a]}',
        'access.rules.0: expected `{principals, operations, topics, groups, subjects}`, got "a"'
      ],
      [
        'auth: {users: [{username: a, passwordHash: "$scrypt$ln=15", realm: b}]}',
        'auth.users.0.realm: no such setting; there are username, principal, passwordHash'
      ],
      ['auth: {tokens: [{principal: a, sha256: [secret]}]}', 'auth.tokens.0.sha256: expected text'],
      ['auth: {tokens: [secret]}', 'auth.tokens.0: expected `{principal, sha256, expiresAt}`'],
      ['http: {recordHeaders: [1]}', 'http.recordHeaders.0: expected text, got 1'],
      ['clusters: {default: {brokers: ["user:secret@a:1", 1]}}', 'clusters.default.brokers.1: expected text']
    ]
    it('names the member of a list, the wrong word and the allowed ones, and shows no secret', () =>
      checkRows(inLists, ([text, problem]) =>
        expect(problemsOf({ file: file(text) })).to.include(`${problem} (castellan.yaml, line 1)`)
      ))
  })

  describe('settings that must fit together', () => {
    it('refuse addresses others can reach, unless that is allowed', () => {
      for (const path of ['http.host', 'management.host', 'embedded.host']) {
        const flags = [flag('--x', path, '0.0.0.0')]
        expect(problemsOf({ flags })).to.have.length(1)
        expect(problemsOf({ flags })[0]).to.match(
          new RegExp(`^${path}: 0\\.0\\.0\\.0 can be reached .*--allow-anonymous`)
        )
        expect(problemsOf({ flags: [...flags, flag('--allow-anonymous', 'http.allowAnonymous', true)] })).to.deep.equal(
          []
        )
      }
      for (const host of ['localhost', '::1', '127.1.2.3']) {
        expect(problemsOf({ flags: [flag('--host', 'http.host', host)] })).to.deep.equal([])
      }
    })

    it('ask gateways that know each other for a listener and a long secret', () => {
      const peers = { CASTELLAN_PEERS_ADDRESSES: 'gateway-2:8091,[::1]:8091' }
      const listen = { ...peers, CASTELLAN_PEERS_LISTEN: '0.0.0.0:8091' }
      const whole = { ...listen, CASTELLAN_PEERS_TOKEN: 'x'.repeat(32) }
      expect(problemsOf({ environment: peers })).to.have.length(2)
      expect(problemsOf({ environment: listen })[0]).to.match(/^peers\.token: is missing/)
      expect(problemsOf({ environment: whole })).to.deep.equal([])
      const short = problemsOf({ environment: { ...whole, CASTELLAN_PEERS_TOKEN: 'x'.repeat(31) } })
      expect(short[0]).to.match(/^peers\.token: must have at least 32 bytes/)
      expect(short.join()).to.not.contain('xxx')
      const tls = { ...whole, CASTELLAN_PEERS_TLS_DIRECTORY: '/no/such' }
      expect(problemsOf({ environment: tls })[0]).to.match(/^peers\.tlsDirectory\.\w+: cannot read \/no\/such\/ca\.crt/)
      expect(problemsOf({ environment: { CASTELLAN_PEERS_SECRET: 'x'.repeat(32) } })[0]).to.match(/peers\.token now/)
      for (const network of ['10.0.0.0', '10.0.0.0/33', '10.0.0/8', '::1/129', 'x/8']) {
        const environment = { ...whole, CASTELLAN_PEERS_NETWORKS: network }
        expect(problemsOf({ environment })[0]).to.match(/^peers\.networks/)
      }
    })

    it('leave half of the time of a stop for what was accepted', () => {
      const times = (drainMs: number, graceMs: number) => [
        flag('--set', 'shutdown.drainMs', `${drainMs}`),
        flag('--set', 'shutdown.graceMs', `${graceMs}`)
      ]
      expect(problemsOf({ flags: times(501, 1_000) })).to.deep.equal([
        'shutdown.drainMs: is 501, more than half of shutdown.graceMs (1000), whose other half is for what was accepted'
      ])
      expect(loadConfig({ flags: times(500, 1_000) }).shutdown).to.deep.equal({ drainMs: 500, graceMs: 1_000 })
      expect(problemsOf({ flags: [flag('--set', 'shutdown.drainMs', '5001')] })).to.have.length(1)
      expect(loadConfig({ flags: [flag('--set', 'shutdown.graceMs', '1')] }).shutdown.drainMs).to.equal(undefined)
    })

    it('switch the tools for agents on with the embedded broker, unless they say otherwise', () => {
      const isOn = (...flags: ReturnType<typeof flag>[]): boolean => loadConfig({ flags }).apis.mcp.enabled
      const brokers = flag('--brokers', 'clusters.default.brokers', 'kafka:9092')
      const enabled = (value: boolean) => flag('--set', 'apis.mcp.enabled', value)
      expect([isOn(), isOn(enabled(false)), isOn(brokers), isOn(brokers, enabled(true))]).to.deep.equal([
        true,
        false,
        false,
        true
      ])
      expect(loadConfig({}).apis.mcp.write).to.equal(false)
    })

    it('ask for brokers, or the embedded one by name, in production', () => {
      const environment = { NODE_ENV: 'production' }
      expect(problemsOf({ environment })[0]).to.match(
        /no brokers are named and NODE_ENV is production.*--brokers.*--embedded/
      )
      expect(problemsOf({ environment, flags: [flag('--embedded', 'embedded.enabled', true)] })).to.deep.equal([])
      expect(problemsOf({ environment: { ...environment, CASTELLAN_BROKERS: 'a:1' } })).to.deep.equal([])
      expect(problemsOf({ environment, role: 'client' })).to.deep.equal([])
    })

    it('are either the embedded broker or brokers', () => {
      const flags = [flag('--embedded', 'embedded.enabled', true), flag('--brokers', 'clusters.default.brokers', 'a:1')]
      expect(problemsOf({ flags })[0]).to.match(/^embedded\.enabled: /)
    })

    it('make up either a token or a way to get one', () => {
      const text = `clusters:
  one: {brokers: ["a:1"], sasl: {mechanism: oauthbearer, tokenUrl: "https://idp/token"}}
  two: {brokers: ["a:1"], sasl: {mechanism: oauthbearer, token: hush, tokenUrl: "https://idp/token"}}
  three: {brokers: ["a:1"], sasl: {mechanism: oauthbearer, tokenUrl: "https://idp/token", tokenClient: a, tokenSecret: hush, tokenCaFile: /no/such/file}}
  four: {brokers: ["a:1"], sasl: {mechanism: oauthbearer, tokenPath: /token, tokenCommand: [a]}}`
      expect(problemsOf({ file: file(text) })).to.deep.equal([
        'clusters.one.sasl.tokenClient: is missing',
        'clusters.one.sasl.tokenSecret: is missing',
        'clusters.two.sasl.token: is given besides tokenUrl; remove one of them',
        'clusters.three.sasl.tokenCaFile: cannot read /no/such/file (ENOENT)',
        'clusters.four.sasl.tokenPath: is given besides tokenCommand; remove one of them'
      ])
      const careless =
        'clusters: {one: {brokers: ["a:1"], sasl: {mechanism: oauthbearer, tokenUrl: "https://me:hush@idp/"}}}'
      expect(problemsOf({ file: file(careless) }).join())
        .to.contain('sasl.tokenUrl')
        .and.not.contain('hush')
    })

    it('make up a login and a certificate', () => {
      const text = `clusters:
  default: {brokers: ["a:1"], sasl: {mechanism: plain}, tls: {certFile: /c}}
  other: {sasl: {mechanism: oauthbearer}}`
      expect(problemsOf({ file: file(text) })).to.deep.equal([
        'clusters.default.tls: certFile and keyFile go together',
        'clusters.default.tls.enabled: is false, but other TLS settings are given; set it to true or remove them',
        'clusters.default.sasl.username: is missing',
        'clusters.default.sasl.password: is missing',
        'clusters.other.brokers: name at least one broker',
        'clusters.other.sasl.token: is missing; give a token, tokenPath, tokenCommand, mskRegion, or tokenUrl, tokenClient and tokenSecret'
      ])
    })
  })

  describe('warnings', () => {
    const withCluster = (text: string): Config =>
      loadConfig({ file: file(`clusters: {default: {brokers: ["a:1"], ${text}}}`) })

    it('tell of certificates that are not verified and of passwords in clear text', () => {
      expect(warnings(withCluster('tls: {enabled: true, rejectUnauthorized: false}'))[0]).to.match(/not verified/)
      expect(warnings(withCluster('sasl: {mechanism: plain, username: a, password: hush}'))[0]).to.match(/without TLS/)
      expect(
        warnings(withCluster('tls: {enabled: true}, sasl: {mechanism: plain, username: a, password: b}'))
      ).to.deep.equal([])
      expect(warnings(withCluster('sasl: {mechanism: scram-sha-256, username: a, password: b}'))).to.deep.equal([])
      const tokenFrom = (url: string) =>
        `tls: {enabled: true}, sasl: {mechanism: oauthbearer, tokenUrl: "${url}", tokenClient: a, tokenSecret: b}`
      expect(warnings(withCluster(tokenFrom('http://idp/token')))[0]).to.match(/sends the client secret in clear text/)
      expect(warnings(withCluster(tokenFrom('https://idp/token')))).to.deep.equal([])
      expect(warnings(withCluster(tokenFrom('http://127.0.0.1:8080/token')))).to.deep.equal([])
      expect(warnings(loadConfig({}))).to.deep.equal([])
    })

    it('tell of addresses that are open without authentication', () => {
      const flags = [flag('--host', 'http.host', '0.0.0.0'), flag('--allow-anonymous', 'http.allowAnonymous', true)]
      expect(warnings(loadConfig({ flags }))).to.deep.equal([
        'http.host is 0.0.0.0: clients that can reach it can use it without authentication'
      ])
    })
  })

  describe('printed', () => {
    it('is YAML that reads back as the same, with secrets hidden', () => {
      const config = loadConfig({
        file: file('clusters: {default: {brokers: ["a:1"], sasl: {mechanism: plain, username: me, password: hush}}}')
      })
      const text = toYaml(config)
      expect(text).to.not.contain('hush')
      expect(text).to.contain('password: (secret)')
      expect(toYaml(loadConfig({ file: file(text, 'printed.yaml') }))).to.equal(text)
    })
  })

  describe('the source of a value', () => {
    const environment = {
      CASTELLAN_HTTP_PORT: '80',
      CASTELLAN_BROKERS: 'x:1,y:2',
      CASTELLAN_CLUSTERS_DEFAULT_SASL_PASSWORD: 'hush'
    }
    const text =
      'http:\n  port: 1\nadvanced: {http: {socketTimeoutMs: 7}}\nauth:\n  users: []\nclusters:\n  default:\n    sasl: {mechanism: plain, username: me}\n'
    const explain = () => {
      const flags = [flag('--log-level', 'log.level', 'debug')]
      return explainConfig({ file: file(text), environment, flags })
    }

    it('is the last one that names it', () => {
      const { originOf } = explain()
      const origin = (path: string): string => originOf(path.split('.')).replace(`${directory}/`, '')
      expect(origin('http.port')).to.equal('CASTELLAN_HTTP_PORT')
      expect(origin('advanced.http.socketTimeoutMs')).to.equal('castellan.yaml, line 3')
      expect(origin('http.host')).to.equal('default')
      expect(origin('log.level')).to.equal('--log-level')
      expect(origin('clusters.default.sasl.username')).to.equal('castellan.yaml, line 8')
    })

    it('is printed beside the value, and the text stays a configuration', () => {
      const { config, originOf } = explain()
      const printed = toYaml(config, originOf).replaceAll(`${directory}/`, '')
      expect(printed).to.include('  port: 80 # CASTELLAN_HTTP_PORT\n')
      expect(printed).to.include('    socketTimeoutMs: 7 # castellan.yaml, line 3\n')
      expect(printed).to.include('  users: [] # castellan.yaml, line 5\n')
      expect(printed).to.include('    brokers:\n      # CASTELLAN_BROKERS\n      - x:1\n')
      expect(printed).to.include('      password: (secret) # CASTELLAN_CLUSTERS_DEFAULT_SASL_PASSWORD\n')
      expect(printed).to.not.include('hush')
      const values = printed.split('\n').filter(line => /^ *[^- #].*: ./.test(line))
      expect(values.filter(line => !line.includes(' # '))).to.deep.equal([])
      expect(toYaml(loadConfig({ file: file(printed, 'printed.yaml') }))).to.equal(toYaml(config))
    })
  })

  describe('the schema registry', () => {
    it('needs URLs without secrets, and a certificate with its key', () => {
      const problems = (text: string): readonly string[] => problemsOf({ file: file(`schemas: {registry: {${text}}}`) })
      for (const url of ['ftp://a', 'http://ann:x@a', 'http://a/?b', 'a:1']) {
        expect(problems(`urls: ["${url}"]`), url).to.match(
          /schemas\.registry\.urls.*: write it as https:\/\/HOST:PORT\/PATH/
        )
      }
      expect(problems('certFile: /c')).to.deep.equal(['schemas.registry: certFile and keyFile go together'])
      expect(problems('caFile: /no/such')).to.deep.equal(['schemas.registry.caFile: cannot read /no/such (ENOENT)'])
    })

    it('is warned of where it gets credentials in clear text over a network', () => {
      const warned = (url: string): readonly string[] =>
        warnings(loadConfig({ file: file(`schemas: {registry: {urls: ["${url}"], credentials: "a:b"}}`) }))
      expect(warned('http://registry:8081').join()).to.match(/schemas\.registry\.credentials are sent in clear text/)
      for (const url of ['https://registry', 'http://127.0.0.1:8081'])
        expect(warned(url).join()).to.not.match(/schemas/)
    })
  })

  describe('TLS files', () => {
    it('are read, and named when they cannot be', () => {
      const { tls } = loadConfig({}).clusters.default!
      const caFile = file('PEM', 'ca.pem')
      expect(readTlsFiles('clusters.default.tls', { ...tls, caFile })).to.deep.equal({
        ca: 'PEM',
        cert: undefined,
        key: undefined
      })
      expect(() => readTlsFiles('clusters.eu.tls', { ...tls, keyFile: '/no/such' })).to.throw(
        ConfigError,
        'clusters.eu.tls.keyFile: cannot read /no/such (ENOENT)'
      )
    })
  })
})
