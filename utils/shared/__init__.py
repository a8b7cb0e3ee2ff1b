"""What several servers share: the rooms of `review`, `jobs` and `spending`, in one Redis or Valkey.

Imported only where STORE_URL is set.
"""
