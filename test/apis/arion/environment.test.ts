import { expect } from 'chai'
import { translateArion } from '../../../src/apis/arion/environment.js'
import { ConfigError } from '../../../src/core/errors.js'
import { type TranslatedConfig, translateConfig } from '../../../src/server/config/config.js'
import { checkRows } from '../../support/rows.js'

const load = (environment: Record<string, string>, flags: Record<string, string | true> = {}): TranslatedConfig => {
  const readFile = (): never => expect.fail('Arion has no files')
  const translation = translateArion({ environment, flags: new Map(Object.entries(flags)), readFile })
  return translateConfig({ environment }, translation, 'arion')
}
const problemsOf = (environment: Record<string, string>): string[] => {
  try {
    load(environment)
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n')
    throw error
  }
  return []
}

describe("Arion's environment variables", () => {
  it('have the defaults of Arion', () => {
    const { config, originOf } = load({})
    expect(config.apis.arion).to.include({
      enabled: true,
      port: 80,
      idleTimeoutMs: 15_000,
      maxMessageBytes: 1_000_000,
      partitioner: 'javaHashCode'
    })
    expect(config.apis.arion.syncTimeoutMs).to.equal(undefined)
    expect(config.wal).to.include({
      directory: '/var/arion',
      segmentBytes: 67_108_864,
      fsyncPuts: true,
      fsyncTakes: true
    })
    expect([config.wal.fsyncThreshold, config.wal.fsyncIntervalMs]).to.deep.equal([undefined, undefined])
    expect(config.clusters.default!.brokers).to.deep.equal(['localhost:9092'])
    expect(config.statsd).to.include({ host: 'localhost', port: 8_125 })
    expect(originOf(['wal', 'directory'])).to.equal('default of ARION_QUEUE_PATH')
  })

  it('set nothing where they are neither given nor have a default', () => {
    const readFile = (): never => expect.fail('Arion has no files')
    const { settings } = translateArion({ environment: { ARION_FSYNC_THRESHOLD: ' ' }, flags: new Map(), readFile })
    const names = settings.map(({ path }) => path.at(-1))
    expect(names).to.include.members(['port', 'segmentBytes', 'brokers'])
    for (const absent of ['syncTimeoutMs', 'fsyncThreshold', 'fsyncIntervalMs']) expect(names).not.to.include(absent)
    expect(settings.filter(({ value }) => value === undefined)).to.deep.equal([])
  })

  it('become settings, each of which names its variable as its origin', () => {
    const { config, notes, originOf } = load({
      ARION_PORT: '8000',
      ARION_IDLE_TIMEOUT: '0',
      ARION_SYNC_TIMEOUT: '30',
      ARION_MAX_MESSAGE_SIZE: '5000',
      ARION_QUEUE_PATH: '/data/queue',
      ARION_SLAB_SIZE: '1048576',
      ARION_FSYNC_PUT: 'false',
      ARION_FSYNC_TAKE: 'no',
      ARION_FSYNC_THRESHOLD: '100',
      ARION_FSYNC_INTERVAL: '50',
      KAFKA_BOOTSTRAP: 'one:9092, two:9093',
      STATSD_HOST: 'metrics',
      STATSD_PORT: '9125'
    })
    expect(config.apis.arion).to.include({
      port: 8_000,
      idleTimeoutMs: 0,
      syncTimeoutMs: 30_000,
      maxMessageBytes: 5_000
    })
    expect(config.wal).to.include({
      directory: '/data/queue',
      segmentBytes: 1_048_576,
      fsyncPuts: false,
      fsyncTakes: false,
      fsyncThreshold: 100,
      fsyncIntervalMs: 50
    })
    expect(config.clusters.default!.brokers).to.deep.equal(['one:9092', 'two:9093'])
    expect(config.statsd).to.include({ host: 'metrics', port: 9_125 })
    expect(originOf(['apis', 'arion', 'port'])).to.equal('ARION_PORT')
    expect(notes.filter(note => !note.includes('127.0.0.1'))).to.deep.equal([])
  })

  it('arion 36: only the word true switches a sync on', () => {
    for (const [text, isOn] of [
      ['true', true],
      ['TRUE', true],
      ['True', true],
      ['YES', false],
      ['1', false],
      ['', false],
      ['true ', false]
    ] as const) {
      expect([text, load({ ARION_FSYNC_PUT: text }).config.wal.fsyncPuts]).to.deep.equal([text, isOn])
    }
  })

  it('tells who writes neither true nor false that syncs are off', () => {
    const about = (environment: Record<string, string>): string[] =>
      load(environment).notes.filter(note => note.includes('FSYNC'))
    expect(about({ ARION_FSYNC_PUT: 'yes', ARION_FSYNC_TAKE: '1' })).to.deep.equal([
      'ARION_FSYNC_PUT: "yes" counts as false, as in Arion; only the word true switches it on',
      'ARION_FSYNC_TAKE: "1" counts as false, as in Arion; only the word true switches it on'
    ])
    expect(about({ ARION_FSYNC_PUT: 'False', ARION_FSYNC_TAKE: 'TRUE' })).to.deep.equal([])
  })

  it('arion 36: syncs from time to time need both others off; blank means none', () => {
    const words = 'works only with ARION_FSYNC_PUT=false and ARION_FSYNC_TAKE=false'
    expect(problemsOf({ ARION_FSYNC_THRESHOLD: '10' })).to.deep.equal([`ARION_FSYNC_THRESHOLD: ${words}`])
    expect(problemsOf({ ARION_FSYNC_INTERVAL: '10', ARION_FSYNC_PUT: 'no' })).to.deep.equal([
      `ARION_FSYNC_INTERVAL: ${words}`
    ])
    expect(problemsOf({ ARION_FSYNC_THRESHOLD: '', ARION_FSYNC_INTERVAL: ' ' })).to.deep.equal([])
  })

  const wrong: [name: string, value: string, problem: RegExp][] = [
    ['ARION_PORT', 'abc', /^apis\.arion\.port: .*"abc".*ARION_PORT/],
    ['ARION_PORT', '', /^apis\.arion\.port: .*ARION_PORT/],
    ['ARION_IDLE_TIMEOUT', '1.5', /^apis\.arion\.idleTimeoutMs: .*"1\.5".*ARION_IDLE_TIMEOUT/],
    ['ARION_IDLE_TIMEOUT', '-1', /^apis\.arion\.idleTimeoutMs: must be at least 0.*ARION_IDLE_TIMEOUT/],
    ['ARION_MAX_MESSAGE_SIZE', '1MB', /^apis\.arion\.maxMessageBytes: .*"1MB".*ARION_MAX_MESSAGE_SIZE/],
    ['ARION_SLAB_SIZE', '1000', /^advanced\.wal\.segmentBytes: .*ARION_SLAB_SIZE/],
    ['STATSD_PORT', 'x', /^statsd\.port: .*"x".*STATSD_PORT/],
    ['KAFKA_BOOTSTRAP', 'nowhere', /^clusters\.default\.brokers.*nowhere.*KAFKA_BOOTSTRAP/]
  ]
  it('arion 36: are one error where a value is wrong, which names the variable', () =>
    checkRows(wrong, ([name, value, problem]) => {
      expect(problemsOf({ [name]: value })).to.have.length(1)
      expect(problemsOf({ [name]: value })[0]).to.match(problem)
    }))

  it('of the Java virtual machine are accepted and explained, and unknown ones named', () => {
    const { notes } = load({ HEAP_SIZE: '1g', MAX_PAUSE: '10', JMX_PORT: '1', JMX_HOSTNAME: 'x', ARION_PROT: '1' })
    for (const name of ['HEAP_SIZE', 'MAX_PAUSE', 'JMX_PORT', 'JMX_HOSTNAME']) {
      expect(notes.some(note => note.startsWith(`${name} has no effect: `))).to.equal(true)
    }
    expect(notes).to.include('ARION_PROT is no variable of Arion and is ignored')
  })

  it('serve Arion alone, on loopback as long as clients need no credentials, and say so', () => {
    const { config, notes } = load({})
    expect(config.apis.kprf.enabled).to.equal(false)
    expect(config.apis.arion.host).to.equal('127.0.0.1')
    expect(notes.find(note => note.startsWith('apis.arion.host'))).to.match(/127\.0\.0\.1 instead of 0\.0\.0\.0/)
    const open = load({ CASTELLAN_HTTP_ALLOW_ANONYMOUS: 'true' })
    expect(open.config.apis.arion.host).to.equal('0.0.0.0')
    expect(open.notes).to.deep.equal([])
  })

  it('flags name the port, and the embedded broker instead of Kafka', () => {
    const { config, originOf } = load({ ARION_PORT: '1', KAFKA_BOOTSTRAP: 'x:1' }, { port: '8000', embedded: true })
    expect(config.apis.arion.port).to.equal(8_000)
    expect([originOf(['apis', 'arion', 'port']), originOf(['embedded', 'enabled'])]).to.deep.equal([
      '--port',
      '--embedded'
    ])
    expect([config.embedded.enabled, config.clusters.default!.brokers]).to.deep.equal([true, []])
  })
})
