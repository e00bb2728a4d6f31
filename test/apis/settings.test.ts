import { expect } from 'chai'
import { arionSettings } from '../../src/apis/arion/settings.js'
import { kafboySettings } from '../../src/apis/kafboy/settings.js'
import { kprfSettings } from '../../src/apis/kprf/settings.js'
import { checkRows } from '../support/rows.js'

const rule = (topic: unknown, maxPerMinute: unknown): object => ({ ratelimit: { rules: [{ topic, maxPerMinute }] } })

describe('settings of APIs that imitate another program', () => {
  it('have bounds and words: others are refused', () =>
    checkRows(
      [
        [
          'arion',
          arionSettings,
          [{ idleTimeoutMs: 0 }, { idleTimeoutMs: 2_147_483_647 }, { syncTimeoutMs: 1 }, { partitioner: 'murmur2' }],
          [
            ...[-1, 2_147_483_648, 1.5].map(idleTimeoutMs => ({ idleTimeoutMs })),
            ...[{ syncTimeoutMs: 0 }, { partitioner: 'crc32' }, { durability: '' }, { other: 1 }]
          ]
        ],
        [
          'kprf',
          kprfSettings,
          [rule('t', 0), rule('', 42), { messageMaxBytes: 1_000 }, { whenFull: 'drop' }, { durability: 'disk' }],
          [
            ...[rule('t', -1), rule('t', 1.5), rule('t', '1'), rule(1, 1), { messageMaxBytes: 999 }],
            ...[{ whenFull: '' }, { ratelimit: { answer: '' } }, { durability: '' }]
          ]
        ],
        [
          'kafboy',
          kafboySettings,
          [
            ...['random', 'sticky_round_robin', 'ordered_round_robin', 'strict_round_robin', 'custom'].map(
              partitionStrategy => ({ partitionStrategy })
            ),
            { routesSync: ['/1/foo/:topic[/x]'] }
          ],
          [
            ...[{ partitionStrategy: '' }, { payload: '' }, { failureStatus: '' }, { whenFull: '' }, { other: 1 }],
            ...['routesSync', 'routesAsync', 'routesAsyncBatch'].map(name => ({ [name]: ['/1/foo'] })),
            ...[{ callbackEditJson: '' }, { topics: [{ topic: 't', whenFull: 'drop' }] }, { topics: [{}] }]
          ]
        ]
      ] as const,
      ([, schema, taken, refused]) => {
        const isTaken = (settings: object): boolean => schema.safeParse(settings).success
        expect(taken.filter(settings => !isTaken(settings))).to.deep.equal([])
        expect(refused.filter(isTaken)).to.deep.equal([])
      }
    ))

  it('of one topic of kafboy are only those that it names itself', () => {
    const own = { topic: 't', maxBufferRecords: 7, bufferTtlMs: 8, partitionStrategy: 'custom' }
    expect(kafboySettings.parse({ topics: [{ topic: 't' }, own] }).topics).to.deep.equal([{ topic: 't' }, own])
  })
})
