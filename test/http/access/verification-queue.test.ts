import { expect } from 'chai'
import { VerificationQueue } from '../../../src/http/access/verification-queue.js'

describe('password verifications', () => {
  /** A queue whose verifications end when the test says so. */
  const harness = () => {
    const queue = new VerificationQueue()
    const running: { name: string; end: () => void }[] = []
    const begun: string[] = []
    const run = (address: string, name: string): Promise<string> | undefined =>
      queue.run(address, () => {
        begun.push(name)
        return new Promise(resolve => running.push({ name, end: () => resolve(name) }))
      })
    const endOne = async (): Promise<void> => {
      running.shift()!.end()
      await new Promise(resolve => setImmediate(resolve))
    }
    return { queue, running, begun, run, endOne }
  }

  it('run two at a time, and serve the addresses that wait in rotation', async () => {
    const { run, begun, running, endOne } = harness()
    for (const name of ['a1', 'a2', 'a3', 'a4', 'a5']) void run('a', name)
    void run('b', 'b1')
    void run('c', 'c1')
    expect(begun).to.deep.equal(['a1', 'a2'])
    while (running.length > 0) await endOne()
    expect(begun).to.deep.equal(['a1', 'a2', 'a3', 'b1', 'c1', 'a4', 'a5'])
  })

  it('refuse at once what one address has too many of, and others go on', () => {
    const { run } = harness()
    const results = Array.from({ length: 8 }, (_, i) => run('flood', `f${i}`))
    expect(results.map(result => result !== undefined)).to.deep.equal([
      true,
      true,
      true,
      true,
      true,
      true,
      false,
      false
    ])
    expect(run('polite', 'p')).to.not.equal(undefined)
  })

  it('hold a bounded number however many addresses there are', () => {
    const { run, queue } = harness()
    for (let i = 0; i < 10_000; i++) void run(`10.0.${i >> 8}.${i & 255}`, 'x')
    expect(queue.waitingCount).to.equal(256)
  })

  it('go on after one that failed', async () => {
    const queue = new VerificationQueue()
    const failed = queue
      .run('a', () => Promise.reject(new Error('out of memory')))!
      .catch((error: Error) => error.message)
    expect(await failed).to.equal('out of memory')
    expect(await queue.run('a', () => Promise.resolve('fine'))).to.equal('fine')
  })
})
