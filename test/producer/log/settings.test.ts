import { expect } from 'chai'
import { walOptions, walSettings } from '../../../src/producer/log/settings.js'

const KIB = 1024
const GIB = 1024 ** 3

describe('the settings of the durable log', () => {
  const isTaken = (settings: object): boolean => walSettings.safeParse(settings).success

  it('open no log for a library that does not ask for one', () => {
    expect(walOptions.parse(undefined)).to.equal(undefined)
    expect(walOptions.parse({})).to.deep.equal(walSettings.parse({}))
  })

  it('have limits', () => {
    for (const [name, ...values] of [
      ['segmentBytes', 64 * KIB, GIB],
      ['minFreeBytes', 0, 1]
    ] as const) {
      for (const value of values) expect(isTaken({ [name]: value }), `${name} ${value}`).to.equal(true)
    }
    for (const settings of [
      { segmentBytes: 64 * KIB - 1 },
      { segmentBytes: GIB + 1 },
      { minFreeBytes: -1 },
      { minFreeBytes: 0.5 },
      { directory: '' },
      { segmentBites: 64 * KIB }
    ]) {
      expect(isTaken(settings), JSON.stringify(settings)).to.equal(false)
    }
  })

  it('durable-queue 14: name the setting of a sync from time to time that the others contradict', () => {
    for (const [settings, paths] of [
      [{ fsyncIntervalMs: 10 }, ['fsyncIntervalMs']],
      [{ fsyncThreshold: 10, fsyncPuts: false, fsyncTakes: true }, ['fsyncThreshold']],
      [{ fsyncThreshold: 10, fsyncIntervalMs: 10 }, ['fsyncThreshold', 'fsyncIntervalMs']],
      [{ fsyncThreshold: 10, fsyncIntervalMs: 10, fsyncPuts: false }, []],
      [{ fsyncPuts: true, fsyncTakes: true }, []]
    ] as const) {
      const { error } = walSettings.safeParse(settings)
      expect(error?.issues.map(({ path }) => path.join('.')) ?? [], JSON.stringify(settings)).to.deep.equal(paths)
    }
  })
})
