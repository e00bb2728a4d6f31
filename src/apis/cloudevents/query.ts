import type { IncomingMessage } from 'node:http'
import { sentUrlOf } from '../../http/exchange/exchange.js'
import { ProblemError } from './event-answers.js'

/**
 * The parameters of a request. Values are bytes, because keys need not be UTF-8. Unknown parameters are ignored, since
 * senders of webhooks add their own.
 *
 *   ?key=a%FF&async=true
 */
export class Query {
  readonly #pairs: readonly (readonly [name: string, value: string])[]

  constructor(request: IncomingMessage) {
    const query = sentUrlOf(request).split('#', 1)[0]!.split('?').slice(1).join('?')
    this.#pairs = query
      .split('&')
      .filter(pair => pair !== '')
      .map(pair => {
        const [name = '', ...value] = pair.split('=')
        return [name, value.join('=')]
      })
  }

  /** @throws ProblemError when it occurs twice, or cannot be decoded */
  bytes(name: string): Buffer | undefined {
    const values = this.#pairs.filter(pair => pair[0] === name)
    if (values.length > 1) throw new ProblemError(400, `the parameter ${name} occurs more than once`)
    const value = values[0]?.[1].replaceAll('+', ' ')
    if (value === undefined) return undefined
    if (/%(?![\da-f]{2})/i.test(value)) {
      throw new ProblemError(400, `the parameter ${name} has a % without two hexadecimal digits`)
    }
    return Buffer.from(
      value.replace(/%(..)/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16))),
      'latin1'
    )
  }

  /** @throws ProblemError */
  text(name: string): string | undefined {
    return this.bytes(name)?.toString()
  }

  /** @throws ProblemError when it is none of them */
  oneOf<Word extends string>(name: string, words: readonly Word[]): Word | undefined {
    const text = this.text(name)
    const word = words.find(known => known === text)
    if (text !== undefined && word === undefined) {
      throw new ProblemError(400, `the parameter ${name} has to be one of ${words.join(', ')}`)
    }
    return word
  }

  /** @throws ProblemError when it is no whole number between the bounds */
  whole(name: string, min: number, max: number): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    if (/^\d{1,15}$/.test(text) && Number(text) >= min && Number(text) <= max) return Number(text)
    throw new ProblemError(400, `the parameter ${name} has to be a whole number from ${min} to ${max}`)
  }
}
