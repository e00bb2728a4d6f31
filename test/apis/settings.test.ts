import { expect } from 'chai'
import { arionSettings } from '../../src/apis/arion/settings.js'
import { kafboySettings } from '../../src/apis/kafboy/settings.js'
import { kprfSettings } from '../../src/apis/kprf/settings.js'

const MIB = 1024 * 1024
const COMMON = { enabled: true, tls: 'inherit' }

interface Schema {
  safeParse(settings: object): { readonly success: boolean }
}
const taken = (schema: Schema, ...settings: readonly object[]): boolean[] =>
  settings.map(one => schema.safeParse(one).success)

// Defaults that the original has are the original's.
describe('APIs: settings', () => {
  it('of arion have its defaults, and bounds', () => {
    expect(arionSettings.parse(undefined)).to.deep.equal({
      ...COMMON,
      maxBodyBytes: 16 * MIB,
      durability: 'disk',
      partitioner: 'javaHashCode',
      maxMessageBytes: 1_000_000,
      idleTimeoutMs: 15_000,
      producesByGet: false
    })
    const idle = [0, 2_147_483_647, -1, 2_147_483_648, 1.5].map(idleTimeoutMs => ({ idleTimeoutMs }))
    expect(taken(arionSettings, ...idle)).to.deep.equal([true, true, false, false, false])
    const words = [{ partitioner: 'murmur2' }, { durability: 'memory' }, { partitioner: 'crc32' }, { durability: '' }]
    expect(taken(arionSettings, ...words)).to.deep.equal([true, true, false, false])
    expect(taken(arionSettings, { syncTimeoutMs: 1 }, { syncTimeoutMs: 0 }, { other: 1 })).to.deep.equal([
      true,
      false,
      false
    ])
  })

  it('of kprf have its defaults, and bounds', () => {
    expect(kprfSettings.parse(undefined)).to.deep.equal({
      ...COMMON,
      maxBodyBytes: 16 * MIB,
      durability: 'memory',
      whenFull: 'refuse',
      failureWord: 'err',
      messageTimeoutMs: 2_000,
      messageMaxBytes: 1_048_576,
      ratelimit: { enabled: false, answer: 'original', rules: [] }
    })
    const rule = (topic: unknown, maxPerMinute: unknown): object => ({
      ratelimit: { rules: [{ topic, maxPerMinute }] }
    })
    const rules = [rule('t', 0), rule('', 42), rule('t', -1), rule('t', 1.5), rule('t', '1'), rule(1, 1)]
    expect(taken(kprfSettings, ...rules)).to.deep.equal([true, true, false, false, false, false])
    const bytes = [1_000, 999].map(messageMaxBytes => ({ messageMaxBytes }))
    expect(taken(kprfSettings, ...bytes)).to.deep.equal([true, false])
    const words = [{ whenFull: 'drop' }, { ratelimit: { answer: 'tooManyRequests' } }, { durability: 'disk' }]
    expect(taken(kprfSettings, ...words)).to.deep.equal([true, true, true])
    expect(taken(kprfSettings, { whenFull: '' }, { ratelimit: { answer: '' } }, { durability: '' })).to.deep.equal(
      new Array(3).fill(false)
    )
  })

  it('of kafboy have its defaults and those of ekaf', () => {
    expect(kafboySettings.parse(undefined)).to.deep.equal({
      ...COMMON,
      maxBodyBytes: 64_000,
      durability: 'memory',
      payload: 'json',
      failureStatus: 'honest',
      whenFull: 'refuse',
      syncUrl: '/sync/:topic/',
      asyncUrl: '/async/:topic/',
      routesSync: [],
      routesAsync: [],
      routesAsyncBatch: [],
      safeRoutes: false,
      callbackTimeoutMs: 5_000,
      syncTimeoutMs: 5_000,
      maxBufferRecords: 100,
      bufferTtlMs: 5_000,
      partitionStrategy: 'random',
      stickyPartitionRecords: 1_000,
      topics: []
    })
  })

  it('of kafboy take the words that there are, and no others', () => {
    const strategies = ['random', 'sticky_round_robin', 'ordered_round_robin', 'strict_round_robin', 'custom']
    const all = [
      ...strategies.map(partitionStrategy => ({ partitionStrategy })),
      { payload: 'fields' },
      { failureStatus: 'original' },
      { whenFull: 'drop' },
      { routesSync: ['/1/foo/:topic[/x]'] }
    ]
    expect(taken(kafboySettings, ...all)).to.deep.equal(all.map(() => true))
    const wrong = [
      { partitionStrategy: '' },
      { payload: '' },
      { failureStatus: '' },
      { whenFull: '' },
      { routesSync: ['/1/foo'] },
      { routesAsync: ['/1/foo'] },
      { routesAsyncBatch: ['/1/foo'] },
      { callbackEditJson: '' },
      { other: 1 }
    ]
    expect(taken(kafboySettings, ...wrong)).to.deep.equal(wrong.map(() => false))
  })

  it('of one topic of kafboy are only those that it has for itself', () => {
    const own = {
      topic: 't',
      maxBufferRecords: 7,
      bufferTtlMs: 8,
      partitionStrategy: 'custom',
      stickyPartitionRecords: 9
    }
    expect(kafboySettings.parse({ topics: [{ topic: 't' }, own] }).topics).to.deep.equal([{ topic: 't' }, own])
    expect(taken(kafboySettings, { topics: [{ topic: 't', whenFull: 'drop' }] }, { topics: [{}] })).to.deep.equal([
      false,
      false
    ])
  })
})
