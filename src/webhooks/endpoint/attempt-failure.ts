import { codeOf } from '../../core/node-errors.js'
import type { AttemptResult } from './attempt.js'

type FailureKind = Exclude<AttemptResult['kind'], 'status'>

/** Why an attempt has no answer. */
export class AttemptFailure extends Error {
  override readonly name = 'AttemptFailure'
  readonly kind: FailureKind

  constructor(kind: FailureKind, message: string) {
    super(message)
    this.kind = kind
  }
}

/** The code of an error of Node alone: its text can have parts that the endpoint has chosen. */
export const codeText = (error: unknown): string => codeOf(error) ?? 'no code'
