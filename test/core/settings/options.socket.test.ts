import { expect } from 'chai'
import type { OpenCastellanOptions } from '../../../src/client/castellan.js'
import { openCastellan } from '../../../src/client/open-castellan.js'
import { ConfigError } from '../../../src/core/errors.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { toDeliverySettings } from '../../../src/producer/memory/settings.js'
import { defaultRouterSettings, toRouterSettings } from '../../../src/router/routing/settings.js'
import { checkRows } from '../../support/rows.js'

describe('options of the library are checked as settings are', () => {
  const wrong: [object, string][] = [
    [{ fetchMaxWaitMs: -1 }, 'settings.fetchMaxWaitMs: must be at least 0, got -1 (startRouter)'],
    [{ maxWaitingRequests: 1.5 }, 'settings.maxWaitingRequests: expected integer, got 1.5 (startRouter)'],
    [{ fetchMaxBytes: '16 MiB' }, 'settings.fetchMaxBytes: expected integer, got "16 MiB" (startRouter)'],
    [
      { isolationLevel: 'all' },
      'settings.isolationLevel: expected `readUncommitted`, `readCommitted`, got "all" (startRouter)'
    ],
    [{ fetchMaxByte: 1 }, 'settings.fetchMaxByte: no such setting; did you mean fetchMaxBytes? (startRouter)'],
    [{ requestTimeoutMs: 0 }, 'settings.requestTimeoutMs: must be at least 1, got 0 (startRouter)'],
    [{ cacheMaxBytes: null }, 'settings.cacheMaxBytes: expected integer, got null (startRouter)']
  ]
  for (const [settings, message] of wrong) {
    it(message, () => {
      expect(() => toRouterSettings(settings))
        .to.throw(ConfigError)
        .with.property('message', message)
    })
  }

  it('names all that are wrong, one in each line', () => {
    expect(() => toDeliverySettings({ maxBytes: 0, compression: 'zip' as 'gzip' })).to.throw(
      ConfigError,
      'settings.maxBytes: must be at least 1, got 0 (startDelivery)\n' +
        'settings.compression: expected `none`, `gzip`, `snappy`, `lz4`, `zstd`, got "zip" (startDelivery)'
    )
  })

  it('takes undefined for absent: a limit is never lost', () => {
    const untyped = { maxWaitingRequests: undefined, requestTimeoutMs: undefined } as object
    expect(toRouterSettings(untyped)).to.deep.equal(defaultRouterSettings)
  })
})

describe('options of openCastellan', () => {
  const wrong: [object, string][] = [
    [{ brokers: [] }, 'brokers: name at least one broker, as HOST:PORT, got []'],
    [{ brokers: '' }, 'brokers.0: write it as HOST:PORT, for example kafka-1:9092, got ""'],
    [
      { brokers: ['kafka-1:9092', 'kafka-2'] },
      'brokers.1: write it as HOST:PORT, for example kafka-1:9092, got "kafka-2"'
    ],
    [{ brokers: 'user:secret@kafka:9092' }, 'brokers.0: write it as HOST:PORT, for example kafka-1:9092'],
    [{ brokers: 9092 }, 'brokers: expected text or list of text, got 9092'],
    [{}, 'brokers: expected text or list of text'],
    [{ brokers: 'a:1', router: { fetchMaxWaitMs: -1 } }, 'router.fetchMaxWaitMs: must be at least 0, got -1'],
    [{ brokers: 'a:1', delivery: { maxBytes: 1.5 } }, 'delivery.maxBytes: expected integer, got 1.5'],
    [{ brokers: 'a:1', connection: { clientId: '' } }, 'connection.clientId: must be at least 1 character, got ""'],
    [{ brokers: 'a:1', conection: {} }, 'conection: no such setting; did you mean connection?'],
    [
      { brokers: 'a:1', connection: { sasl: { mechanism: 'plain', username: 'anna', password: 42 } } },
      'connection.sasl.password: expected string'
    ]
  ]
  it('each wrong option is refused with a line that names it', () =>
    checkRows(wrong, async ([options, message]) => {
      const error = await openCastellan(options as OpenCastellanOptions).then(
        () => expect.fail('it was opened'),
        (error: unknown) => error
      )
      expect(error).to.be.instanceOf(ConfigError)
      expect((error as Error).message).to.match(/^[^\n]* \(openCastellan\)$|^brokers: expected text or list of text$/)
      expect((error as Error).message.replace(' (openCastellan)', '')).to.equal(message)
    }))

  it('takes the bootstrap brokers of an embedded cluster, also at an IPv6 address', async function () {
    const cluster = await startEmbeddedCluster({ host: '::1' }).catch(() => {
      console.log('    SKIPPED: this machine has no IPv6 loopback address')
      return this.skip()
    })
    const castellan = await openCastellan({ brokers: cluster.bootstrap })
    expect(cluster.bootstrap).to.match(/^\[::1\]:\d+$/)
    expect([...(await castellan.verbs.topics('all', 15_000)).keys()]).to.deep.equal([])
    await castellan.close({ timeoutMs: 0 })
    await cluster.close()
  })

  it('takes undefined for absent', async () => {
    const options = { brokers: ' 127.0.0.1:1 , 127.0.0.1:2 ', router: undefined, delivery: {}, log: undefined }
    const castellan = await openCastellan(options)
    expect(await castellan.close({ timeoutMs: 0 })).to.equal(0)
  })
})

describe('options of the embedded cluster', () => {
  const wrong: [object, string][] = [
    [{ nodes: 0 }, 'nodes: must be at least 1, got 0 (startEmbeddedCluster)'],
    [{ limits: { maxTopics: -1 } }, 'limits.maxTopics: must be at least 1, got -1 (startEmbeddedCluster)'],
    [{ limit: {} }, 'limit: no such setting; did you mean limits? (startEmbeddedCluster)']
  ]
  for (const [options, message] of wrong) {
    it(message, async () => {
      await startEmbeddedCluster(options).then(
        () => expect.fail('it was started'),
        (error: unknown) => expect(error).to.be.instanceOf(ConfigError).with.property('message', message)
      )
    })
  }

  it('take undefined for absent', async () => {
    const limits = { maxTopics: undefined } as object
    const cluster = await startEmbeddedCluster({ limits })
    expect(cluster.nodes).to.have.length(1)
    await cluster.close()
  })
})
