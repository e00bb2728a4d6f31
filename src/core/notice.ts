/** The subject of a notice: a kind of trouble on the status page, which tells the same. */
type NoticeKind =
  | 'brokersAway'
  | 'clockAhead'
  | 'idRefused'
  | 'keysRefused'
  | 'lendingStuck'
  | 'logDamaged'
  | 'notReady'
  | 'recordsOld'
  | 'settingsHidden'

/** Something that operators are told about the process, as it is now: why it is not ready, or a warning. */
export interface Notice {
  readonly kind: NoticeKind
  /** A sentence without its full stop. */
  readonly text: string
}

export const notReady = (text: string): Notice => ({ kind: 'notReady', text })

export const textsOf = (notices: readonly Notice[]): string[] => notices.map(({ text }) => text)

/** Each text once, in their order. */
export const distinct = (notices: readonly Notice[]): Notice[] => [
  ...new Map(notices.map(notice => [notice.text, notice])).values()
]
