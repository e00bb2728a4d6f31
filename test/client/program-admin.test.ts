import { expect } from 'chai'
import { ProgramAdmin } from '../../src/client/program-admin.js'
import type { Verbs } from '../../src/verbs/verbs.js'

describe('the administration of a program', () => {
  it('asks for no further topic once the signal of its call is aborted', async () => {
    const asked: string[] = []
    const answers: (() => void)[] = []
    const deleteTopic = (name: string): Promise<void> => {
      asked.push(name)
      return new Promise(resolve => answers.push(resolve))
    }
    const admin = new ProgramAdmin({ admin: { deleteTopic } } as unknown as Verbs, () => 0)
    const names = Array.from({ length: 400 }, (_, at) => `t${at}`)
    const end = new AbortController()
    const deleted = admin.deleteTopic(names, { signal: end.signal }).catch((error: unknown) => error)
    const atOnce = asked.length
    expect(atOnce).to.be.within(1, 399)
    end.abort()
    for (const answer of answers) answer()
    expect(await deleted).to.include({ code: 'aborted' })
    expect(asked).to.have.length(atOnce)
  })
})
