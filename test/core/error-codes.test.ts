import { expect } from 'chai'
import { ProgramAdmin } from '../../src/client/program-admin.js'
import {
  AdminError,
  type AdminErrorCode,
  CastellanError,
  type ErrorCode,
  InvalidRequestError,
  KafkaError,
  TransactionError,
  type TransactionErrorCode
} from '../../src/client.js'
import type { Verbs } from '../../src/verbs/verbs.js'

type Same<One, Other> = (<T>() => T extends One ? 1 : 2) extends <T>() => T extends Other ? 1 : 2 ? true : false

/** The compiler checks this file with the others: what it says of the codes does not compile otherwise. */
describe('the codes of errors, for a program in TypeScript', () => {
  it('are one closed union, with those of all classes', () => {
    const isUnion: Same<CastellanError['code'], ErrorCode | TransactionErrorCode | AdminErrorCode> = true
    const areNarrow: Same<TransactionError['code'], TransactionErrorCode> & Same<AdminError['code'], AdminErrorCode> =
      true
    expect([isUnion, areNarrow]).to.deep.equal([true, true])
  })

  it('are known where instanceof has told the class', () => {
    const whatOf = (error: unknown): string => {
      if (!(error instanceof CastellanError)) return 'not ours'
      const isClosed: Same<typeof error.code, CastellanError['code']> = true
      // @ts-expect-error no code has this name
      if (error.code === 'timedout') return `${isClosed}`
      return error.code === 'fenced' ? 'another process' : error.code
    }
    expect(whatOf(new TransactionError('fenced', ''))).to.equal('another process')
    expect(whatOf(new InvalidRequestError(''))).to.equal('invalidRequest')
    expect(
      whatOf(new AdminError({ code: 'topicAlreadyExists', errorCode: 36, message: '', retriable: false }))
    ).to.equal('topicAlreadyExists')
  })

  it('are kafka where the broker answers with an error that has no name here', async () => {
    const codeOf = async (errorCode: number): Promise<string> => {
      const verbs = { admin: { deleteTopic: () => Promise.reject(new KafkaError(errorCode, 'no', true)) } }
      const error = await new ProgramAdmin(verbs as unknown as Verbs).deleteTopic('orders').catch(thrown => thrown)
      expect(error).to.include({ name: 'AdminError', errorCode })
      return error.code
    }
    expect([await codeOf(3), await codeOf(9_999)]).to.deep.equal(['unknownTopicOrPartition', 'kafka'])
  })

  it('are all seen by a switch without a default', () => {
    const adviceOf = ({ code }: TransactionError): string => {
      switch (code) {
        case 'fenced':
          return 'end'
        case 'shuttingDown':
          return 'wait'
        case 'timedOut':
        case 'notAssigned':
        case 'aborted':
          return 'again'
      }
    }
    expect(adviceOf(new TransactionError('aborted', ''))).to.equal('again')
  })
})
