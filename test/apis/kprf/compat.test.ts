import { expect } from 'chai'
import { stringify } from 'yaml'
import type { Translation } from '../../../src/apis/api-command.js'
import { kprfCommand } from '../../../src/apis/api-commands.js'
import { ConfigError } from '../../../src/core/errors.js'
import { translateConfig } from '../../../src/server/config/config.js'
import { checkRows } from '../../support/rows.js'

/** The example of kprf's README, as it stands there. */
const EXAMPLE = `
kafka:
  brokers:
    - '127.0.0.1:9092'
  request_required_acks: 1
  queue_buffering_max_ms: 20
  queue_buffering_max_kbytes: 2048 # 2 MiB

http:
  port: 4242
  metrics_port: 8088

output_file: "/dev/stdout"

ratelimit: # ratelimit settings.
  enabled: true # enables or disables ratelimiting.
  rules: # defines list of rules for concrete topics.
    - topic_name: "some_topic_name" # concrete topic name.
      max_requests_per_minute: 42 # maximum requests per minute allowed for concrete topic.
`

const translate = (
  text: string,
  { file = 'config.yaml', flags = {}, environment = {} }: { file?: string; flags?: object; environment?: object } = {}
): Promise<Translation> =>
  Promise.resolve(
    kprfCommand.translate({
      flags: new Map(Object.entries({ config: file, ...flags })),
      environment: environment as Record<string, string>,
      readFile: () => text
    })
  )
const load = (translation: Translation) => translateConfig({}, translation, 'kprf')
const refusal = async (promise: Promise<unknown>): Promise<string> => {
  const error = await promise.then(
    () => undefined,
    (thrown: Error) => thrown
  )
  expect(error).to.be.instanceOf(ConfigError)
  return error!.message
}

describe('castellan kprf: the configuration file of kprf', () => {
  it("takes the example of kprf's README", async () => {
    const { config, notes } = load(await translate(EXAMPLE))
    expect(config.clusters.default!.brokers).to.deep.equal(['127.0.0.1:9092'])
    expect(config.apis.kprf).to.deep.include({ port: 4242, metricsPort: 8088, messageTimeoutMs: 2_000 })
    expect(config.apis.kprf.ratelimit).to.deep.include({
      enabled: true,
      rules: [{ topic: 'some_topic_name', maxPerMinute: 42 }]
    })
    expect(config.delivery.maxBytes).to.equal(2 * 1024 * 1024)
    expect(config.log).to.include({ format: 'kprf' }).and.not.to.have.property('file')
    expect(config.apis.kafboy.enabled).to.equal(false)
    expect(notes.join('\n')).to.include('kafka.request_required_acks has no effect')
    expect(notes.join('\n')).to.include('kafka.queue_buffering_max_ms has no effect')
  })

  it('listens on loopback only, and says so, unless clients may be anonymous', async () => {
    const translation = await translate(EXAMPLE)
    const { config, notes } = load(translation)
    expect(config.apis.kprf).to.include({ host: '127.0.0.1' })
    expect(notes.filter(note => note.includes('listening on 127.0.0.1 instead of 0.0.0.0'))).to.have.length(1)
    const open = translateConfig(
      { flags: [{ flag: '--allow-anonymous', path: ['http', 'allowAnonymous'], value: true }] },
      translation,
      'kprf'
    )
    expect(open.config.apis.kprf).to.include({ host: '0.0.0.0' })
  })

  it('has the defaults of kprf', async () => {
    const { config } = load(await translate('kafka: { brokers: ["kafka-1"] }'))
    expect(config.apis.kprf).to.deep.include({ port: 4242, metricsPort: 8088, messageMaxBytes: 1_048_576 })
    expect(config.apis.kprf.ratelimit.enabled).to.equal(false)
  })

  it('reads brokers as librdkafka does: a protocol may stand before, and the port may be absent', async () => {
    const brokers = ['kafka-1', 'kafka-2:9093', 'PLAINTEXT://kafka-3:9094', '[::1]', '[::1]:9095', '10.0.0.1']
    const { config } = load(await translate(stringify({ kafka: { brokers } })))
    expect(config.clusters.default!.brokers).to.deep.equal([
      'kafka-1:9092',
      'kafka-2:9093',
      'kafka-3:9094',
      '[::1]:9092',
      '[::1]:9095',
      '10.0.0.1:9092'
    ])
  })

  it('translates every key that has a counterpart, and explains every other one', async () => {
    const all = {
      kafka: {
        brokers: ['kafka-1:9092'],
        user: 'anna',
        password: 'secret-password',
        message_max_bytes: 2_000,
        queue_buffering_max_messages: 100,
        queue_buffering_max_ms: 5,
        queue_buffering_max_kbytes: 1_024,
        retries: 3,
        message_timeout_ms: 1_234,
        request_timeout_ms: 30_000,
        request_required_acks: -1,
        statistics_interval_ms: 1_000
      },
      http: { port: 1, metrics_port: 2 },
      output_file: '/var/log/kprf.log',
      ratelimit: { enabled: false, rules: [] }
    }
    const { settings, notes } = await translate(stringify(all))
    const set = new Map(settings.map(({ path, value }) => [path.join('.'), value]))
    expect(set.get('apis.kprf.messageMaxBytes')).to.equal(2_000)
    expect(set.get('apis.kprf.messageTimeoutMs')).to.equal(1_234)
    expect(set.get('delivery.maxBytes')).to.equal(1_048_576)
    expect([set.get('apis.kprf.port'), set.get('apis.kprf.metricsPort')]).to.deep.equal([1, 2])
    expect(set.get('log.file')).to.equal('/var/log/kprf.log')
    const explained = notes.map(note => note.split(' ')[0])
    expect(explained).to.deep.equal([
      'kafka.user',
      'kafka.password',
      'kafka.queue_buffering_max_messages',
      'kafka.queue_buffering_max_ms',
      'kafka.retries',
      'kafka.request_timeout_ms',
      'kafka.request_required_acks',
      'kafka.statistics_interval_ms'
    ])
    expect(JSON.stringify(notes)).not.to.include('secret-password')
    expect(JSON.stringify(settings)).not.to.include('secret-password')
  })

  const formats: [file: string, text: string][] = [
    ['config.yaml', 'kafka: { brokers: [a:1] }\nhttp: { port: 7 }'],
    ['config.YML', 'kafka:\n  brokers: [a:1]\nhttp:\n  port: "7"'],
    ['config.json', '{"kafka":{"brokers":["a:1"]},"http":{"port":7}}']
  ]
  for (const [file, text] of formats) {
    it(`reads ${file}`, async () => {
      const { config } = load(await translate(text, { file }))
      expect([config.clusters.default!.brokers, config.apis.kprf.port]).to.deep.equal([['a:1'], 7])
    })
  }

  it('takes keys in upper and lower case alike, as kprf does', async () => {
    const text =
      'Kafka: { BROKERS: [a:1], Message_Timeout_Ms: 7 }\nHTTP: { Port: 8 }\nRatelimit: { Enabled: true, Rules: [{ Topic_Name: Orders, Max_Requests_Per_Minute: 9 }] }\nKafko: 1'
    const { config, notes } = load(await translate(text))
    expect(config.clusters.default!.brokers).to.deep.equal(['a:1'])
    expect(config.apis.kprf).to.include({ port: 8, messageTimeoutMs: 7 })
    expect(config.apis.kprf.ratelimit.rules).to.deep.equal([{ topic: 'Orders', maxPerMinute: 9 }])
    expect(notes).to.include('config.yaml: Kafko is no setting of kprf and is ignored; did you mean kafka?')
  })

  it('waits for a message as long as delivery does where message_timeout_ms is 0, which is no limit', async () => {
    const { config } = load(await translate('kafka: { brokers: [a:1], message_timeout_ms: 0 }'))
    expect(config.apis.kprf.messageTimeoutMs).to.be.greaterThan(config.delivery.timeoutMs)
  })

  describe('named without its ending', () => {
    const files = new Map<string, string>()
    beforeEach(() => files.clear())
    const named = (config: string) => {
      const readFile = (name: string): string => {
        const text = files.get(name)
        if (text === undefined) throw new ConfigError('there is none', Object.assign(new Error(), { code: 'ENOENT' }))
        return text
      }
      return Promise.resolve(kprfCommand.translate({ flags: new Map([['config', config]]), environment: {}, readFile }))
    }

    it('is the file beside it that has one', async () => {
      files.set('/etc/kprf/config.yml', 'kafka: { brokers: [a:1] }')
      const { settings } = await named('/etc/kprf/config')
      expect(settings.find(({ value }) => String(value) === 'a:1')?.origin).to.equal(
        '/etc/kprf/config.yml, kafka.brokers'
      )
    })

    it('is not one with an ending that kprf does not know', async () => {
      files.set('kprf.json', '{"kafka":{"brokers":["a:1"]}}')
      expect((await named('kprf.conf')).settings).to.be.an('array')
    })

    it('is said to be missing when there is none, and a file without an ending is not guessed at', async () => {
      expect(await refusal(named('config'))).to.equal(
        'cannot read config: there is no such file, nor one that ends with .yaml, .yml, .json'
      )
      files.set('config', 'kafka: { brokers: [a:1] }')
      files.set('config.yaml', 'kafka: { brokers: [b:2] }')
      expect(await refusal(named('config'))).to.include('config: cannot be read: name a .yaml')
    })
  })

  it('takes numbers and switches in quotes, ignores what kprf ignores, and skips empty sections', async () => {
    const text =
      'kafka:\n  brokers: [a:1]\n  retries: "3"\n  speed: fast\nhttp:\nratelimit: { enabled: "true", rules: [] }\nmore: 1'
    const { notes, settings } = await translate(text)
    expect(notes).to.include('config.yaml: kafka.speed is no setting of kprf and is ignored')
    expect(notes).to.include('config.yaml: more is no setting of kprf and is ignored')
    expect(settings.find(({ path }) => path.join('.') === 'apis.kprf.ratelimit.enabled')?.value).to.equal(true)
  })

  it('takes rules as kprf does: limits in quotes, and keys it does not know', async () => {
    const rules = [{ topic_name: 'orders', max_requests_per_minute: '42', owner: 'shop' }]
    const { config, notes } = load(
      await translate(
        stringify({ kafka: { brokers: ['a:1'] }, http: { prot: 1 }, ratelimit: { enabled: true, rules } })
      )
    )
    expect(config.apis.kprf.ratelimit.rules).to.deep.equal([{ topic: 'orders', maxPerMinute: 42 }])
    expect(notes).to.include('config.yaml: ratelimit.rules.0.owner is no setting of kprf and is ignored')
    expect(notes).to.include('config.yaml: http.prot is no setting of kprf and is ignored; did you mean port?')
  })

  const refused: [what: string, file: string, text: string, message: RegExp][] = [
    ['no brokers', 'c.yaml', 'http: { port: 1 }', /c\.yaml: kafka\.brokers: is missing/],
    ['an empty list of brokers', 'c.yaml', 'kafka: { brokers: [] }', /kafka\.brokers: is missing/],
    ['brokers that are no list', 'c.yaml', 'kafka: { brokers: "a:1" }', /c\.yaml, kafka\.brokers: expected array/],
    [
      'a port that is none',
      'c.yaml',
      'kafka: { brokers: [a] }\nhttp: { port: many }',
      /apis\.kprf\.port: expected .*c\.yaml, http\.port/
    ],
    [
      'a rule without a limit',
      'c.yaml',
      'kafka: { brokers: [a] }\nratelimit: { rules: [{ topic_name: t }] }',
      /ratelimit\.rules\.0\.maxPerMinute: .*c\.yaml, ratelimit\.rules/
    ],
    ['broken YAML', 'c.yaml', 'kafka: [', /^c\.yaml: /],
    ['broken JSON', 'c.json', '{"kafka": {"password": "secret-password', /^c\.json: .* at line 1, column \d+$/],
    ['a list', 'c.yaml', '- a', /expected the settings of kprf/],
    [
      'a misspelt key',
      'c.yaml',
      'kafka: { brokerz: [a] }',
      /kafka\.brokers: is missing; kafka\.brokerz is no setting of kprf; did you mean brokers\?/
    ],
    ['YAML that is not closed', 'c.yaml', 'kafka:\n  brokers: ["a:1"\n', /^c\.yaml: .* at line \d, column \d$/],
    ['another ending', 'c.conf', '{}', /name a \.yaml or \.yml or \.json file; convert other formats/],
    ['a format of kprf that is not read', 'c.toml', '[kafka]', /convert other formats of kprf to YAML$/]
  ]
  it('a file with a mistake is refused in one line, which has no secret of it', () =>
    checkRows(refused, async ([, file, text, message]) => {
      const said = await refusal(translate(text, { file }).then(load))
      expect(said).to.match(message)
      expect(said).not.to.include('secret-password')
      expect(said.split('\n')).to.have.length(1)
    }))

  it('needs no brokers in the file where flags or variables name them', async () => {
    const text = 'http: { port: 1 }'
    expect(
      load(await translate(text, { flags: { brokers: 'b:1,c:2' } })).config.clusters.default!.brokers
    ).to.deep.equal(['b:1', 'c:2'])
    expect(load(await translate(EXAMPLE, { flags: { embedded: true } })).config.embedded.enabled).to.equal(true)
    await translate(text, { environment: { CASTELLAN_BROKERS: 'b:1' } })
  })

  it('refuses to start without a file', async () => {
    const given = { flags: new Map(), environment: {}, readFile: () => '' }
    expect(await refusal(Promise.resolve().then(() => kprfCommand.translate(given)))).to.include('--config is missing')
  })

  it('keeps `__proto__` out of the settings', async () => {
    const { settings, notes } = await translate(
      '{"__proto__":{"http":{"port":1}},"kafka":{"constructor":1,"brokers":["a"]}}'
    )
    const unknown = notes.filter(note => note.includes('is no setting')).map(note => note.split(' ')[1])
    expect(unknown).to.deep.equal(['__proto__', 'kafka.constructor'])
    expect(settings.filter(({ value }) => value === 1)).to.deep.equal([])
  })
})
