import { expect } from 'chai'
import { OpenFiles, type Reopenable } from '../../../src/embedded-broker/storage/file-bytes.js'

describe('broker: open segment files', () => {
  const descriptors = 64
  let used = 0
  beforeEach(() => {
    used = 0
  })
  const open = (): number => {
    if (used >= descriptors) throw Object.assign(new Error('too many open files'), { code: 'EMFILE' })
    return used++
  }
  const file = (files: OpenFiles): Reopenable => {
    const one = {
      close: () => {
        used--
        files.closed(one)
      }
    }
    return one
  }

  it('are as many as may be, the least recently used being closed for another', () => {
    const files = new OpenFiles(10)
    for (let i = 0; i < 30; i++) files.open(file(files), open)
    expect([files.count, used]).to.deep.equal([10, 10])
  })

  it('leave descriptors to new connections once the process has run out of them', () => {
    const files = new OpenFiles(256)
    for (let i = 0; i < 1_000; i++) {
      files.open(file(files), open)
      expect(files.count).to.equal(used)
    }
    expect(used).to.be.within(1, descriptors / 2)
  })

  it('say so when there is none to close', () => {
    used = descriptors
    const files = new OpenFiles(256)
    expect(() => files.open(file(files), open)).to.throw('too many open files')
  })
})
