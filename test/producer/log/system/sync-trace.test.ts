import { expect } from 'chai'
import { readSyncTrace, type SyncTrace } from './sync-trace.js'

const SEGMENT = '23</data/0000000000000001.slab>'

describe('reading a trace of syncs', () => {
  const read = (...lines: string[]): SyncTrace =>
    readSyncTrace(lines, { id: /id-\d+/g, acknowledged: text => text.match(/(?<=stored )id-\d+/g) ?? [] })

  it('finds nothing wrong with answers behind the sync that covers them', () => {
    const trace = read(
      `101 pwrite64(${SEGMENT}, "..id-1..id-2", 12, 64) = 12`,
      `101 fdatasync(${SEGMENT} <unfinished ...>`,
      `100 write(1<pipe:[7]>, "other", 5)       = 5`,
      `101 <... fdatasync resumed>)              = 0`,
      `100 write(1<pipe:[7]>, "stored id-1\\nstored id-2\\n", 24) = 24`
    )
    expect(trace).to.deep.include({ answered: 2, tooEarly: [], failedSyncs: 0 })
  })

  it('finds an answer before the sync has ended, and one whose write came after the sync had begun', () => {
    const trace = read(
      `101 pwrite64(${SEGMENT}, "id-1", 4, 64) = 4`,
      `101 fdatasync(${SEGMENT} <unfinished ...>`,
      `100 write(1<pipe:[7]>, "stored id-1\\n", 12) = 12`,
      `102 pwrite64(${SEGMENT}, "id-2", 4, 68) = 4`,
      `101 <... fdatasync resumed>)              = 0`,
      `100 write(1<pipe:[7]>, "stored id-2\\n", 12) = 12`
    )
    expect(trace.tooEarly).to.deep.equal(['id-1', 'id-2'])
  })

  it('finds a file that is synced again after its sync failed, and answers after that', () => {
    const trace = read(
      `101 pwrite64(${SEGMENT}, "id-1", 4, 64) = 4`,
      `101 fdatasync(${SEGMENT}) = -1 EIO (Input/output error) (INJECTED)`,
      `101 fdatasync(${SEGMENT}) = 0`,
      `100 write(1<pipe:[7]>, "stored id-1\\n", 12) = 12`
    )
    expect(trace).to.deep.include({ failedSyncs: 1, answeredAfterFailure: 1 })
    expect(trace.syncedAgain).to.have.length(1)
  })
})
