// The status page of members of an engine whose leader is elected through a Lease.

/** What members that hold a Lease say of themselves, as far as tests ask. */
export interface LeaseStatus {
  readonly state: {
    readonly role: {
      readonly kind: string;
      readonly epoch?: number;
      readonly routed?: boolean;
      /** Not said by agents of early versions. */
      readonly verified?: boolean;
    };
  } | null;
  readonly observation: {
    readonly receiving: boolean;
    readonly followers: readonly { readonly streaming: boolean }[];
    readonly syncSet: { readonly names: readonly string[] };
  } | null;
}
